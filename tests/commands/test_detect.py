"""Series from a file to scores and alarms, rows as they come, and rows of tables with reasons."""

import csv
import io
import os
import signal
import sys

import numpy as np
import pytest

import unsupjax
from unsupjax import arrays
from unsupjax.commands import main
from unsupjax.commands.typed import changed
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.run.fit import fit

NONE = {"run": (), "figures": ()}
FIGURES = ("detections", "contributions")


def wave(n, seed=0):
    t = np.arange(n)
    return np.stack([np.sin(t / 3), np.cos(t / 3)], axis=1) + np.random.default_rng(seed).normal(
        0, 0.05, (n, 2)
    )


def text_of(values, first=0):
    time = np.datetime64("2024-01-01T00:00:00") + (first + np.arange(len(values))) * np.timedelta64(60, "s")
    cell = lambda v: "" if np.isnan(v) else f"{v:.9g}"
    rows = [f"{t},{cell(a)},{cell(b)}" for t, (a, b) in zip(time, values, strict=True)]
    return "\n".join(["time,a,b", *rows]) + "\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, few_panels):
    """One that looks at single steps, and one that looks at windows as a whole."""
    folder = tmp_path_factory.mktemp("series")
    values = wave(400)
    values[350:353] += 3
    (folder / "train.csv").write_text(text_of(values))
    (folder / "marks.json").write_text('[["2024-01-01 05:50", "2024-01-01 05:52"]]')
    data = {
        "source": f"series:{folder / 'train.csv'}",
        "window": 8,
        "train_end": "300",
        "intervals": str(folder / "marks.json"),
    }
    for name in ("linear_forecast", "nearest_windows"):
        config = experiment(
            method={"name": name},
            data=data,
            train={"batch_size": 16, "steps": 19, "steps_per_call": 19, "log_every": 19},
            evaluate={
                "run": ("detection",),
                "figures": FIGURES if name == "linear_forecast" else (),
                "detection": {"baselines": ("pca", "smoothed_z")},
            },
        )
        results = fit(config, folder / name)
        assert results["vus_pr"] > 0.6 > results["vus_pr_random"] and results["auroc"] > 0.95
        assert {"nab_standard", "ap", "best_f1", "vus_roc_pca", "auroc_smoothed_z"} <= results.keys()
    assert all((folder / "linear_forecast" / "figures" / f"{name}.png").exists() for name in FIGURES)
    return folder


@pytest.fixture
def said(capsys):
    def run(*arguments):
        main(list(map(str, arguments)))
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ["linear_forecast", "nearest_windows"])
def test_a_stream_scores_as_all_at_once(runs, name):
    """In blocks of any length, over missing values, and from a state that was saved between."""
    model = unsupjax.load(runs / name)
    values = wave(120, seed=1)
    values[40:42, 1], values[60:70, 0] = np.nan, np.nan
    values[100] += 4
    whole = model.detect(values, causal=True)
    stream, made = model.stream(), []
    for start, end in ((0, 1), (1, 5), (5, 50), (50, 75), (75, 76), (76, 120)):
        made.append(stream(values[start:end])[0])
        again = model.stream()
        again.restore(stream.arrays())
        stream = again
    np.testing.assert_allclose(np.concatenate(made), whole.scores, rtol=1e-4, atol=1e-6)
    assert np.isnan(whole.scores[:7]).all() and np.isnan(whole.scores[66:70]).all()
    assert np.nanargmax(whole.scores) in range(100, 104)
    assert model.stream().arrays()["before"].nbytes <= stream.arrays()["before"].nbytes == 7 * 2 * 4
    with pytest.raises(UserError, match="of another model"):
        stream.restore({"before": np.zeros((7, 3), np.float32)})


def test_scores_of_windows_are_means_over_them(runs):
    model = unsupjax.load(runs / "nearest_windows")
    values = wave(60, seed=2)
    found = model.detect(values)
    windows = np.lib.stride_tricks.sliding_window_view(model.kind.scaled(values), 8, axis=0).transpose(
        0, 2, 1
    )
    parts = np.asarray(model.functions.surprise(model.state, windows.copy()))
    for t in (0, 3, 30, 59):
        over = parts[max(t - 7, 0) : t + 1] if t < 53 else parts[t - 7 :]
        np.testing.assert_allclose(found.parts[t], over.mean(axis=0) / model.usual["level"], rtol=1e-4)
    np.testing.assert_allclose(model.score(values), found.scores)
    assert "detect" in model.abilities and "decode" not in model.abilities


def test_scores_and_alarms_of_a_file(runs, tmp_path, said):
    values = wave(200, seed=3)
    values[150:155, 1] += 3
    (tmp_path / "new.csv").write_text(text_of(values))
    out, alarms = tmp_path / "scores.csv", tmp_path / "alarms.csv"
    run = runs / "nearest_windows"
    told = said("score", run, tmp_path / "new.csv", f"--out={out}", f"--alarms={alarms}", "--threshold=3")
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 200 and list(rows[0]) == ["time", "score", "threshold", "alarm", "top_channel"]
    assert rows[152]["alarm"] == "1" and rows[152]["top_channel"] == "b" and "1 alarms" in told
    [alarm] = csv.DictReader(alarms.open())
    assert alarm["start"] <= "2024-01-01T02:32:00" <= alarm["end"] and alarm["top_channel"] == "b"


def live(monkeypatch, capsys, content, *arguments):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    try:
        main(["score", *map(str, arguments), "--stream"])
    except SystemExit as ended:
        return f"{ended.code} {capsys.readouterr().err}"
    return capsys.readouterr().out


def test_rows_from_standard_input(runs, tmp_path, monkeypatch, capsys):
    """A line out for a line in, and a state that two streams share."""
    run, values = runs / "linear_forecast", wave(100, seed=4)
    whole = live(monkeypatch, capsys, text_of(values), run).splitlines()
    assert len(whole) == 101 and whole[0] == "time,score,threshold,alarm,top_channel"
    state = tmp_path / "state.npz"
    parts = [
        live(monkeypatch, capsys, text_of(part, first), run, f"--state={state}").splitlines()[1:]
        for part, first in ((values[:33], 0), (values[33:], 33))
    ]
    assert arrays.load(state)[0]["rows"] == 100
    scores = lambda lines: np.array([float(line.split(",")[1] or "nan") for line in lines])
    np.testing.assert_allclose(scores([*parts[0], *parts[1]]), scores(whole[1:]), rtol=1e-3)
    for content, message in (
        (text_of(values).replace("time,a,b", "time,a,c"), "the channel 'b' is missing"),
        (text_of(values[:3]) + "2024-01-02,1,hot\n", r"row 3 (from 0), column 'b' holds 'hot'"),
        (text_of(values[:3]) + "2024-01-02,1\n", "row 3 (from 0) has 2 fields"),
        (text_of(values[:3]) + "2024-01-02,1e300,1\n", r"row 3 (from 0), column 'a' holds '1e300'"),
        ("", "standard input is empty"),
    ):
        assert message in live(monkeypatch, capsys, content, run)
    assert "cannot be written" in live(monkeypatch, capsys, "", run, f"--state={tmp_path}/none/state.npz")
    for rule, message in (("quantile:2", "must be in (0, 1)"), ("nan", "must be finite")):
        assert message in live(monkeypatch, capsys, "", run, f"--threshold={rule}")


@pytest.fixture
def signals():
    kept = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    yield
    for which, handler in kept.items():
        signal.signal(which, handler)


@pytest.mark.parametrize("which", (signal.SIGINT, signal.SIGTERM))
def test_a_stream_that_is_ended_keeps_its_state(runs, tmp_path, monkeypatch, capsys, signals, which):
    content = text_of(wave(100, seed=4)).encode()

    class Fed(io.BytesIO):
        def read1(self, n=-1):
            if not (chunk := super().read1(2000)):
                os.kill(os.getpid(), which)
            return chunk

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Fed(content)))
    state = tmp_path / "state.npz"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        main(["score", str(runs / "linear_forecast"), "--stream", f"--state={state}"])
    answered = len(capsys.readouterr().out.splitlines()) - 1
    assert arrays.load(state)[0]["rows"] == answered >= 95


def test_what_a_model_of_series_refuses(runs, tmp_path, capsys):
    model = unsupjax.load(runs / "nearest_windows")
    for x, message in (
        (wave(7), "has 7 steps, and a window 8"),
        (wave(20)[:, :1], r"where numbers \[T, 2\] belong"),
        (np.full((20, 2), np.nan), "missing too much for a window"),
        (np.full((20, 2), np.inf), "row 0 .* channel 'a' holds inf"),
        ({"a": np.zeros(20)}, "the channel 'b' is missing"),
    ):
        with pytest.raises(UserError, match=message):
            model.detect(x)
    (tmp_path / "x.csv").write_text(text_of(wave(20)))
    for arguments, message in (
        ((f"--out={tmp_path}/s.npy",), "name a .csv or .parquet file"),
        ((f"--out={tmp_path}/s.csv", "--threshold=tial:0.1"), "did you mean 'tail'"),
        ((f"--out={tmp_path}/s.csv", "--explain"), "--explain is for models of tables"),
    ):
        with pytest.raises(SystemExit):
            main(["score", str(runs / "nearest_windows"), str(tmp_path / "x.csv"), *arguments])
        assert message in capsys.readouterr().err


def test_rows_of_a_table_with_reasons(tmp_path, few_panels, said):
    """Order and columns are kept; a strange category, and a column that is missing."""
    rng = np.random.default_rng(0)
    head = "id,kind,amount,shop"
    row = lambda i, kind, amount, shop=None: f"{i},{kind},{amount:.2f},{shop or f's{i % 20}'}"
    rows = [row(i, "ab"[i % 2], (5, 50)[i % 2] + rng.normal()) for i in range(200)]
    (tmp_path / "train.csv").write_text("\n".join([head, *rows]))
    net = {"name": "mlp", "features": (16,)}
    config = experiment(
        method={"name": "mixed_rows", "latent_dim": 2},
        data={
            "source": f"csv:{tmp_path / 'train.csv'}",
            "columns": "mixed",
            "strange": True,
            "embedded": 8,
            "leave_out": ("id",),
        },
        encoder=net,
        decoder=net,
        train={"batch_size": 32, "steps": 300, "steps_per_call": 300, "log_every": 300},
        evaluate=NONE,
    )
    for change, message in (
        (
            ["data.leave_out=()", "data.categories=('id',)"],
            "column 'id' has 160 categories in 160 training rows and",
        ),
        (
            ["method.name=autoencoder"],
            "'shop' has 20 categories, which the method 'autoencoder' does not embed",
        ),
    ):
        with pytest.raises(UserError, match=message):
            fit(changed(config, [f"--config.{c}" for c in change]), tmp_path / "refused")
    fit(config, tmp_path / "run")
    new = [
        row(9, "a", 5, "s8"),
        row(3, "zebra", 5, "s4"),
        row(7, "b", 5),
        row(1, "b", 50),
        row(2, "a", 5, "s99"),
    ]
    (tmp_path / "new.csv").write_text("\n".join([head, *new]))
    out = tmp_path / "out.csv"
    arguments = (f"--out={out}", "--threshold=contamination:0.01", "--explain", "--drift")
    told = said("score", tmp_path / "run", tmp_path / "new.csv", *arguments)
    found = list(csv.DictReader(out.open()))
    assert [r["id"] for r in found] == ["9", "3", "7", "1", "2"]
    assert [r["alarm"] for r in found] == ["0", "1", "1", "0", "1"] and "shop=s99" in found[4]["why1"]
    assert (
        found[1]["why1"].startswith("kind=zebra (expected a")
        and "amount" in found[2]["why1"] + found[2]["why2"]
    )
    assert "drift of columns" in told and "kind:" in told
    model = unsupjax.load(tmp_path / "run")
    assert set(model.drift({"kind": ["a", "b"], "amount": [5.0, 50.0], "shop": ["s1", "s99"]})) == {
        *("kind", "amount", "shop")
    }
    with pytest.raises(UserError, match="the column 'amount' is missing"):
        model.score({"kind": ["a"]})
