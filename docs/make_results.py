"""The tables of `docs/results.md`, from what runs themselves wrote into `evaluation.json`.

    python docs/make_results.py                                writes the tables anew
    python docs/make_results.py run [TABLE...] --seeds=0,1,2   first trains what is not in `results.json` yet

`results.toml` says which runs a table has and which of their numbers; `results.json` keeps, for each run and seed, all
numbers, the seconds of training and judging, the machine and the versions. `--anew` runs what is there already;
`--data_dir=` is a TFDS directory, and `--files=` the folder of the files that a run names.
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE, RECORDS, TABLES = HERE / "results.md", HERE / "results.json", HERE / "results.toml"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def table(spec: dict, records: dict) -> str:
    """A table in Markdown: a row a run, means and deviations over seeds."""
    heads = ["`python train.py --config=configs/`", "seeds", *spec["columns"], "seconds"]
    lines = [heads, ["---"] * len(heads)]
    for run in spec["runs"]:
        if found := list(records.get(run, {}).values()):
            config, _, flags = run.partition(" ")
            cells = [shown([r["metrics"].get(key) for r in found]) for key in spec["columns"].values()]
            seconds = statistics.median(r["seconds"] for r in found)
            lines.append([f"`{f'{config}.py {flags}'.strip()}`", str(len(found)), *cells, f"{seconds:.0f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def shown(values: list[float | None]) -> str:
    """Mean and standard deviation, four digits of the mean; nothing where a run has no such number."""
    found = [v for v in values if v is not None]
    if not found:
        return ""
    mean = statistics.mean(found)
    places = max(1, 3 - math.floor(math.log10(abs(mean) or 1)))
    spread = f" ± {statistics.stdev(found):.{places}f}" if len(found) > 1 else ""
    return f"{mean:.{places}f}{spread}"


def notes(spec: dict, records: dict) -> str:
    """On what the runs of a table were made."""
    made = {(r["machine"], r["versions"]) for run in spec["runs"] for r in records.get(run, {}).values()}
    return "".join(f"\n{machine}; {versions}.\n" for machine, versions in sorted(made))


def render(page: str, tables: dict, records: dict) -> str:
    """The page with its tables."""
    made = lambda name: f"\n{table(tables[name], records)}{notes(tables[name], records)}\n"
    return _TABLE.sub(lambda found: found[1] + made(found[2]) + found[3], page)


def machine() -> str:
    """What the runs are made on."""
    cpus = pathlib.Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpus.read_text()) if cpus.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} {'core' if cores == 1 else 'cores'} of {names[0] if names else platform.processor()}"


def versions() -> str:
    """Of Python and of what computes."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("unsupjax", "jax", "flax", "optax")]
    return ", ".join([*found, f"Python {platform.python_version()}"])


def train(run: str, seed: int, data_dir: str, files: pathlib.Path) -> dict:
    """Trains and judges, and returns the record."""
    config, *flags = shlex.split(run)
    # A file that a run names, as in `text:FILE`, lies in a folder of the reader's.
    flags = [re.sub(r"(source=\w+:)([\w./-]+\.\w+)$", rf"\g<1>{files}/\g<2>", flag) for flag in flags]
    flags += [f"--config.data.data_dir={data_dir}"] if data_dir and re.search("mnist|cifar10", run) else []
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        command = [sys.executable, ROOT / "train.py", f"--config={ROOT}/configs/{config}.py"]
        subprocess.run([*command, f"--config.seed={seed}", f"--workdir={folder}/run", *flags], check=True)
        seconds = time.perf_counter() - begin
        metrics = json.loads(pathlib.Path(folder, "run", "evaluation.json").read_text())
    return {"seconds": round(seconds, 1), "machine": machine(), "versions": versions(), "metrics": metrics}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("run",))
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--files", default=".", type=pathlib.Path)
    parser.add_argument("--anew", action="store_true")
    options = parser.parse_args()
    tables = tomllib.loads(TABLES.read_text())
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    if options.command:
        for name in options.tables or tables:
            for run in tables[name]["runs"]:
                for seed in options.seeds.split(","):
                    if options.anew or seed not in records.get(run, {}):
                        made = train(run, int(seed), options.data_dir, options.files.resolve())
                        records.setdefault(run, {})[seed] = made
                        RECORDS.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(render(PAGE.read_text(), tables, records))


if __name__ == "__main__":
    main()
