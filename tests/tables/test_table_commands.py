"""The command line, from CSV files to a report."""

import functools

import numpy as np
import pytest

from unsupjax import tables
from unsupjax.tables import __main__ as commands


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(5, 1, 66).round(6)
    table = tables.from_columns(
        {"x": x, "kind": np.where(x > 5, "high", "low, or so"), "n": random.integers(0, 3, 66)}
    )
    tables.write(tmp_path / "data.csv", table)
    return tmp_path / "data.csv"


def run(*arguments):
    commands.main([str(a) for a in arguments])


def refused(capsys, *arguments):
    """The one line that is left on stderr, of exit status 1."""
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    said = caught.value.code
    assert capsys.readouterr() == ("", "") and "\n" not in said and said.startswith("error: ")
    return said


@pytest.mark.thorough
def test_fit_sample_and_report(tmp_path, data, capsys, monkeypatch):
    small = {"generator_features": (8,), "critic_features": (8,), "noise_dim": 2}
    monkeypatch.setattr(tables, "fit", functools.partial(tables.fit, **small))
    model, out = tmp_path / "model.npz", tmp_path / "new.csv"
    run(
        "fit",
        data,
        model,
        "--steps",
        3,
        "--batch_size",
        20,
        "--loss",
        "wasserstein",
        "--pack",
        10,
        "--discrete",
        "n",
    )
    told = capsys.readouterr()
    assert told.err.startswith("step 3/3  critic_loss ") and "model of 3 columns" in told.out
    settings = tables.load(model).settings
    assert (settings.steps, settings.batch_size, settings.loss, settings.pack) == (3, 20, "wasserstein", 10)
    for seed, name in ((0, out), (0, tmp_path / "again.csv"), (1, tmp_path / "other.csv")):
        run("sample", model, name, "--rows", 40, "--seed", seed)
    assert out.read_text() == (tmp_path / "again.csv").read_text() != (tmp_path / "other.csv").read_text()
    assert len(out.read_text().splitlines()) == 41 and out.read_text().startswith("x,kind,n\n")
    run("sample", model, tmp_path / "where.csv", "--rows", 12, "--where", "kind=low, or so")
    assert set(tables.read(tmp_path / "where.csv").values[1]) == {"low, or so"}

    capsys.readouterr()
    run("report", data, data, out, "--target", "kind")
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].split() == ["measure", "synthetic", "best"]
        and len({line.index(" ") > 0 for line in lines}) == 1
    )
    found = tables.report(
        *(tables.read(p, like=tables.read(data).columns) for p in (data, data, out)), target="kind"
    )
    assert [line.split()[0] for line in lines[1:]] == list(found)
    assert lines[1].split()[1:] == [f"{found['column_shapes']:.3f}", "1"]
    assert lines[-1].split()[1:] == ["1.000"]
    run("report", data, data, out, "--baselines")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["measure", "synthetic", "copula", "marginals", "best"]

    assert "must be COLUMN=VALUE" in refused(capsys, "sample", model, out, "--rows", 3, "--where", "kind")
    assert "no value 'none'" in refused(capsys, "sample", model, out, "--rows", 3, "--where", "kind=none")
    assert "at least 1" in refused(capsys, "sample", model, out, "--rows", 0)


def test_try(data, capsys, monkeypatch):
    fitted = []
    monkeypatch.setattr(
        tables, "fit", lambda key, table, **settings: fitted.append((table, settings)) or table
    )
    monkeypatch.setattr(
        tables, "sample", lambda table, key, n: table.take(np.arange(n))
    )  # what was learnt from
    run("try", data, "--target", "kind", "--steps", 2, "--batch_size", 10, "--seed", 3)
    [(train, settings)] = fitted
    assert train.rows == 44 and settings["steps"] == 2 and settings["batch_size"] == 10
    rows = [set(zip(*t.values, strict=True)) for t in (train, tables.read(data))]
    assert rows[0] < rows[1]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "44 rows to learn from, 22 held out, 44 synthetic"
    assert lines[1].split() == ["measure", "synthetic", "copula", "marginals", "best"]
    assert {line.split()[0] for line in lines} >= {"column_shapes", "detection_boosting", "tstr_f1", "copies"}
    assert lines[-2].split()[:2] == ["copies", "1.000"] and lines[-1].split()[:2] == ["copies_test", "0.000"]


def test_faults_are_told_before_anything_is_fitted(tmp_path, data, capsys, monkeypatch):
    monkeypatch.setattr(tables, "fit", lambda *_, **__: pytest.fail("fitted"))
    model = tmp_path / "model.npz"
    assert "cannot open" in refused(capsys, "fit", tmp_path / "none.csv", model)
    assert "must end in .npz" in refused(capsys, "fit", data, tmp_path / "model")
    assert "cannot write" in refused(capsys, "fit", data, tmp_path / "none" / "model.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "cannot write" in refused(capsys, "fit", data, tmp_path / "folder.npz")
    assert "no column 'm'" in refused(capsys, "fit", data, model, "--discrete", "m")
    assert not model.exists()
    assert "no file" in refused(capsys, "sample", model, tmp_path / "out.csv", "--rows", 3)
    assert "'knid' is no column; did you mean 'kind'" in refused(capsys, "try", data, "--target", "knid")
    small = tmp_path / "small.csv"
    small.write_text("x\n" + "1\n2\n" * 10)
    assert "has 20 rows" in refused(capsys, "try", small)
    assert "has columns" in refused(capsys, "report", data, small, data)


def test_faults_of_fit_are_one_line(tmp_path, data, capsys):
    model = tmp_path / "model.npz"
    assert "multiple of pack=7" in refused(capsys, "fit", data, model, "--pack", 7)
    assert "choices are" in refused(capsys, "fit", data, model, "--loss", "hinge")
    constant = tmp_path / "constant.csv"
    constant.write_text("a,b\n1,x\n1,x\n")
    assert "every column of the table is constant" in refused(capsys, "fit", constant, model)


def test_numbers_that_are_none():
    text = commands.format_reports({"synthetic": {"pair_trends": float("nan"), "copies": 0.25}})
    assert text.splitlines() == [
        "measure      synthetic         best",
        "pair_trends          -            1",
        "copies           0.250  copies_test",
    ]
