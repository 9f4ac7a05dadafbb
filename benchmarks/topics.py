"""Topics of labelled texts over several seeds, beside NMF: the mean and the standard deviation of each measure.

    python -m benchmarks.topics texts.tsv --columns=text,split,label --topics=25 --seeds=0,1,2,3,4 \\
        --config=topics_text --min_df=2 --max_df=1 --stop_words=

FILE has tab-separated fields without quotes and no header (or is such a file, gzipped), and `--columns` says which they
are; rows whose split is neither train nor test are left out. NMF stands beside the first seed alone: it does not depend
on it. All other arguments are settings of the config.
"""

import argparse
import csv
import gzip
import pathlib
import tempfile
import time

import numpy as np

from unsupjax.commands.configs import find, load
from unsupjax.commands.typed import changed
from unsupjax.run.fit import fit

_MEASURES = ("npmi", "npmi_documents", "diversity", "purity", "nmi", "purity_train", "topics_used")


def written(path: str, columns: list[str], folder: pathlib.Path) -> str:
    """The same texts as a table with quotes and names; the source string of it."""
    opened = gzip.open if path.endswith(".gz") else open
    out = folder / "texts.csv"
    with opened(path, "rt", encoding="utf-8") as lines, out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(line.rstrip("\n").split("\t") for line in lines)
    return f"bow:csv:{out}"


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--columns", default="text,label,split")
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--config", default="topics_text")
    parser.add_argument("--min_df", type=int, default=5)
    parser.add_argument("--max_df", type=float, default=0.5)
    parser.add_argument("--stop_words", default="english")
    options, settings = parser.parse_known_args()
    found, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = written(options.file, options.columns.split(","), folder)
        for i, seed in enumerate(options.seeds.split(",")):
            given = [
                f"--config.data.source={source}",
                "--config.data.text_column=text",
                "--config.data.label_column=label",
                "--config.data.split_column=split",
                f"--config.data.min_df={options.min_df}",
                f"--config.data.max_df={options.max_df}",
                f"--config.data.stop_words={options.stop_words}",
                f"--config.method.topics={options.topics}",
                f"--config.seed={seed}",
                f"--config.evaluate.topics.nmf={i == 0}",
                *settings,
            ]
            start = time.perf_counter()
            found.append(fit(changed(load(find(options.config)), given), folder / f"run{seed}"))
            seconds.append(time.perf_counter() - start)
    print(f"{options.config}, {options.topics} topics, {len(found)} seeds, {np.mean(seconds):.0f} s each")
    for name in (m for m in _MEASURES if m in found[0]):
        values = np.array([results[name] for results in found])
        beside = found[0].get(f"{name}_nmf", float("nan"))
        print(f"{name:16} {values.mean():.3f} +- {values.std():.3f}   NMF {beside:.3f}")


if __name__ == "__main__":
    main()
