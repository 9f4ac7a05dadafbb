"""The benchmark of accelerators, at its smallest: every row is measured, once, and none ends the run."""

import json
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from benchmarks import accelerator, timing


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """32 random pictures of each part in the form of CIFAR-10."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("cifar") / "cifar10.npz"
    x, y = rng.integers(0, 256, (2, 32, 8, 8, 3), np.uint8), rng.integers(0, 10, (2, 32, 1), np.uint8)
    np.savez(path, x_train=x[0], y_train=y[0], x_test=x[1], y_test=y[1])
    return str(path)


@pytest.mark.thorough
def test_rows_are_measured_once(tmp_path, cifar, monkeypatch):
    out = tmp_path / "rows.json"
    rows = accelerator.measure(out, size="toy", cifar=cifar)
    assert json.loads(out.read_text())["rows"] == rows
    assert [row["name"] for row in rows] == list(accelerator.ROWS)
    for row in rows:
        assert row["status"] == "measured", row
        assert row["seconds_median"] > 0 and row["examples_per_s"] > 0 and row["jax"], row
        if row["name"] != "cifar10_knn90":  # whose steps are counted by the row before it
            assert row["flops"] > 0 and row["bytes"] > 0 and row["bottleneck"], row
    assert len(list(accelerator.table(rows))) == 1 + len(rows)
    monkeypatch.setattr(accelerator, "ROWS", dict.fromkeys(accelerator.ROWS, _refused))
    assert accelerator.measure(out, size="toy") == rows


@pytest.mark.thorough
def test_a_row_that_fails_or_is_skipped_does_not_end_the_run(tmp_path, monkeypatch):
    calls = []

    def good(run):
        calls.append(run.size)
        return accelerator.figures(run, [1.0, 3.0], 4, "float32", {})

    rows = {"bad": _refused, "cifar10_knn90": accelerator.cifar10_knn90, "good": good}
    monkeypatch.setattr(accelerator, "ROWS", rows)
    out = tmp_path / "rows.json"
    assert accelerator.measure(out, size="toy", hours=-1.0) == []
    bad, skipped, measured = accelerator.measure(out, size="toy")
    assert (bad["status"], bad["error"]) == ("failed", "ValueError: refused")
    assert skipped["status"] == "skipped" and "--cifar" in skipped["reason"]
    assert (measured["seconds_mean"], measured["examples_per_s"]) == (2.0, 2.0)
    assert len(list(accelerator.table([bad, skipped, measured]))) == 4
    accelerator.measure(out, size="toy")
    assert calls == ["toy"]
    accelerator.measure(out, size="toy", only=("go",), force=True)
    assert calls == ["toy", "toy"]


@pytest.mark.parametrize(
    "flops, traffic, expected",
    [
        (0.5, 0.2, "compute"),
        (0.1, 0.2, "memory"),
        (0.149, 0.1, "latency"),
        (0.15, 0.15, "compute"),
        (None, 0.9, None),
        (0.9, None, None),
    ],
)
def test_bottleneck(flops, traffic, expected):
    assert timing.bottleneck(flops, traffic) == expected


def _refused(run):
    raise ValueError("refused")
