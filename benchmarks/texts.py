"""Vectors of texts: groups of short texts that clusters find, and pairs that people rated; several seeds.

    python -m benchmarks.texts clusters ag_news_8000.tsv search_snippets.tsv --methods=word_means,topic_mixture
    python -m benchmarks.texts pairs stsb_dev.tsv stsb_test.tsv

`clusters` takes files of a text and a label a line, a tab between: vectors are learnt of all texts without labels, and
k-means of as many clusters as labels (the best of ten starts) divides them; `topic_mixture` divides them itself.
Accuracy is that of the best assignment of clusters to labels. `pairs` takes files of how alike, a text and another, and
learns of the texts of all files. All other arguments are settings of the config, `embed_text`.
"""

import argparse
import pathlib
import tempfile

import numpy as np
from sklearn.cluster import KMeans

import unsupjax
from unsupjax.cluster import scores
from unsupjax.commands.configs import find, load
from unsupjax.commands.typed import changed
from unsupjax.evaluate.language.sentence_pairs import read_pairs
from unsupjax.run.fit import fit

_PAIRS = (
    *("--config.method.vectors=spelling", "--config.method.dimensions=768", "--config.data.min_df=1"),
    "--config.data.max_df=1.0",
)
_CONTRAST_OF_PAIRS = (
    *("--config.method.dropped=0.2", "--config.method.temperature=0.05"),
    *("--config.optimizer.learning_rate=3e-4", "--config.train.steps=300"),
)

_MIXTURE = ("--config.train.steps=4000",)  # fewer, where it has converged


def learnt(folder: str, texts: list[str], method: str, seed: int, settings: list[str], **judged) -> dict:
    """Trains on the texts in a folder of its own; what its judge found."""
    lines = pathlib.Path(folder, "texts.txt")
    lines.write_text("".join(f"{text}\n" for text in texts))
    given = [
        f"--config.data.source=bow:lines:{lines}",
        *("--config.data.holdout=0.002", f"--config.seed={seed}", "--config.evaluate.figures=()"),
        f"--config.evaluate.run={tuple(judged)}",
        *settings,
    ]
    if method in ("word_means", "topic_mixture"):  # which have no optimizer
        given = [line for line in given if not line.startswith(("--config.optimizer", "--config.schedule"))]
    given.insert(0, f"--config.method.name={method}")
    given += [f"--config.evaluate.{name}.path={path}" for name, path in judged.items()]
    return fit(changed(load(find("embed_text")), given), pathlib.Path(folder, "run"))


def clusters(file: str, method: str, seed: int, settings: list[str]) -> dict[str, float]:
    """Accuracy, NMI and purity of k-means on the vectors of all texts of a file."""
    rows = [line.rstrip("\n").split("\t") for line in pathlib.Path(file).read_text().splitlines()]
    texts, names = [row[0] for row in rows], sorted({row[1] for row in rows})
    y = np.array([names.index(row[1]) for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        if method == "topic_mixture":
            settings = [f"--config.method.topics={len(names)}", *_MIXTURE, *settings]
        learnt(folder, texts, method, seed, settings)
        model = unsupjax.load(f"{folder}/run")
        found = model.assign(texts) if method == "topic_mixture" else model.encode(texts)
    if method != "topic_mixture":
        found = KMeans(len(names), n_init=10, random_state=seed).fit_predict(found)
    measures = {
        "accuracy": scores.hungarian_accuracy,
        "nmi": scores.normalized_mutual_information,
        "purity": scores.purity,
    }
    return {name: measure(y, found) for name, measure in measures.items()}


def pairs(file: str, method: str, seed: int, settings: list[str], files: list[str]) -> dict[str, float]:
    """Spearman's correlation of a file, of vectors learnt of the texts of all files."""
    texts = [text for path in files for part in read_pairs(path)[1:] for text in part]
    given = [*_PAIRS, *(_CONTRAST_OF_PAIRS if method == "word_contrast" else ()), *settings]
    with tempfile.TemporaryDirectory() as folder:
        return learnt(folder, texts, method, seed, given, sentence_pairs=file)


def main() -> None:
    """Prints a line for each file and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("clusters", "pairs"))
    parser.add_argument("files", nargs="+")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default="word_means,word_contrast", help="of clusters topic_mixture too")
    options, settings = parser.parse_known_args()
    for file in options.files:
        for method in options.methods.split(","):
            found = []
            for seed in map(int, options.seeds.split(",")):
                if options.what == "clusters":
                    found.append(clusters(file, method, seed, settings))
                else:
                    found.append(pairs(file, method, seed, settings, options.files))
            values = {name: np.array([f[name] for f in found]) for name in found[0]}
            told = ", ".join(f"{name} {v.mean():.3f} +- {v.std():.3f}" for name, v in values.items())
            print(f"{pathlib.Path(file).name} {method}, {len(found)} seeds: {told}", flush=True)


if __name__ == "__main__":
    main()
