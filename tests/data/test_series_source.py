"""Time series: times, gaps and the end of training, each with its one behaviour; and what is refused."""

import json

import numpy as np
import pytest

from unsupjax.data import open_source
from unsupjax.data.kinds import from_json
from unsupjax.data.series import Series, filled, ordered, resampled, times_of, written
from unsupjax.data.sources.plant import FAULTS
from unsupjax.errors import UserError

HOUR = np.timedelta64(3600, "s")


def write(path, times, *channels, names="ab"):
    lines = [",".join(["time", *names[: len(channels)]])]
    lines += [",".join(map(str, row)) for row in zip(times, *channels, strict=True)]
    path.write_text("\n".join(lines))
    return f"series:{path}"


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-03-01 10:00:00", "2024-03-01 11:00:00"],
        ["2024-03-01T10:00", "2024-03-01T11:00"],
        ["2024-03-01T11:00:00+01:00", "2024-03-01T10:00:00-01:00"],
        ["03/01/2024 10:00", "03/01/2024 11:00"],
        ["1709287200", "1709290800"],
        [1709287200000, 1709290800000],
        np.array(["2024-03-01T10", "2024-03-01T11"], "M8[s]"),
    ],
)
def test_times_of_usual_formats(texts):
    expected = np.array(["2024-03-01T10", "2024-03-01T11"], "M8[ns]")
    np.testing.assert_array_equal(times_of("here", texts), expected)


def test_small_numbers_stay_numbers_and_what_is_no_time_is_named():
    np.testing.assert_array_equal(times_of("here", ["0", "2.5"]), [0, 2.5])
    with pytest.raises(UserError, match=r"here: row 1 \(from 0\) holds 'soon', which is no time"):
        times_of("here", ["2024-01-01", "soon"])
    with pytest.raises(UserError, match="timezone='Mars/Base'"):
        times_of("here", ["2024-01-01"], "Mars/Base")


def test_clocks_that_are_set():
    """Berlin, 2024: the hour from 2 comes twice in October, and not at all on the last Sunday of March."""
    autumn = times_of(
        "x", ["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:30", "2024-10-27 03:30"], "Europe/Berlin"
    )
    assert (np.diff(autumn) == HOUR).all() and str(autumn[0]) == "2024-10-26T23:30:00.000000000"
    spring = times_of("x", ["2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30"], "Europe/Berlin")
    assert str(spring[1]) == "2024-03-31T01:00:00.000000000" and spring[2] - spring[0] == HOUR
    assert written(autumn, 4, "Europe/Berlin")[1:3] == [
        "2024-10-27T02:30:00+02:00",
        "2024-10-27T02:30:00+01:00",
    ]


def test_rows_are_sorted_and_those_of_one_time_are_one():
    time = times_of("x", ["2024-01-03", "2024-01-01", "2024-01-03", "2024-01-02"])
    values = np.array([[1.0], [2.0], [3.0], [np.nan]])
    found = ordered(Series("x", values, ("a",), time, np.array([0, 0, 1, 0], bool)))
    np.testing.assert_array_equal(found.values[:, 0], [2, np.nan, 2])
    assert (
        found.labels.tolist() == [False, False, True]
        and (np.diff(found.time) > np.timedelta64(0, "ns")).all()
    )


def test_a_grid_has_means_and_gaps():
    time = times_of(
        "x", ["2024-01-01 00:00:10", "2024-01-01 00:00:50", "2024-01-01 00:02:00", "2024-01-01 00:05:59"]
    )
    found = resampled(Series("x", np.array([[1.0], [3], [5], [7]]), ("a",), time), 60)
    np.testing.assert_array_equal(found.values[:, 0], [2, np.nan, 5, np.nan, np.nan, 7])
    np.testing.assert_array_equal(filled(found.values, 1)[:, 0], [2, 3.5, 5, np.nan, np.nan, 7])
    np.testing.assert_array_equal(filled(found.values, 2)[:, 0], [2, 3.5, 5, 5 + 2 / 3, 5 + 4 / 3, 7])
    np.testing.assert_array_equal(filled(found.values, 1, causal=True)[:, 0], [2, 2, 5, 5, np.nan, 7])


def test_windows_are_cut_from_the_series_and_never_over_a_gap(tmp_path):
    a = np.arange(40.0)
    texts = ["" if 20 <= i < 28 or i == 5 else str(v) for i, v in enumerate(a)]
    text = write(tmp_path / "x.csv", np.arange(40), texts, a % 3)
    source = open_source(text, window=4, train_end="15", gap=2)
    assert source.kind.channels == ("a", "b") and source.kind.shape == (4, 2) and source.label_names is None
    np.testing.assert_allclose(source.kind.mean[0], 7)  # the first 15 alone, the fifth interpolated
    assert len(source.train) == 12 and len(source.test) == (20 - 3) + (12 - 3)
    windows = source.kind.restore(source.test.gather(np.arange(len(source.test)))[0])
    begins = source.test.begins
    np.testing.assert_allclose(windows[..., 0], begins[:, None] + np.arange(4), atol=1e-5)
    assert not set(range(17, 28)) & set(begins.tolist()) and source.train.series is source.test.series
    assert len(open_source(text, window=4, train_end="15", gap=2, stride=5).train) == 3
    again = from_json(json.loads(json.dumps(source.kind.to_json())))
    assert again == source.kind


def test_the_future_changes_nothing_before_it(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    b = np.r_[a[:100], 100 * rng.normal(size=200)]
    first, other = (
        open_source(write(tmp_path / n, np.arange(300), x), train_end="100") for n, x in (("a", a), ("b", b))
    )
    assert first.kind == other.kind and len(first.train) == len(other.train)
    at = np.arange(len(first.train))
    np.testing.assert_array_equal(first.train.gather(at)[0], other.train.gather(at)[0])


def test_where_training_ends(tmp_path):
    days = np.arange("2024-01-01", "2024-03-01", dtype="M8[D]")
    text = write(tmp_path / "x.csv", days, np.arange(60.0))
    ends = {"0.5": 30, "40": 40, "2024-01-21": 20}
    for end, n in ends.items():
        assert open_source(text, window=4, train_end=end).test.timeline.trained.tolist() == [n]
    for end in ("soon", "-3", "1.5"):
        with pytest.raises(UserError, match="train_end"):
            open_source(text, window=4, train_end=end)


def test_labels_of_a_column_and_of_intervals(tmp_path):
    days = np.arange("2024-01-01", "2024-03-01", dtype="M8[D]")
    one = write(tmp_path / "x.csv", days, np.arange(60.0), np.arange(60) == 50, names=("v", "label"))
    (tmp_path / "x.csv").write_text(
        (tmp_path / "x.csv").read_text().replace("False", "0").replace("True", "1")
    )
    source = open_source(one, window=4)
    assert source.label_names == ("normal", "anomalous") and source.normal == (0,)
    assert source.test.y.sum() == 4 and source.train.y.sum() == 0 and source.kind.channels == ("v",)
    (tmp_path / "marks.json").write_text('{"other/x.csv": [["2024-02-01", "2024-02-03"]], "y.csv": []}')
    marked = open_source(one, window=4, intervals=str(tmp_path / "marks.json"))
    assert np.flatnonzero(marked.test.timeline.labels).tolist() == [31, 32, 33]
    (tmp_path / "marks.json").write_text('[["2025-02-01", "2025-02-03"]]')
    with pytest.raises(UserError, match=r"holds no row of x\.csv, which reaches from 2024-01-01"):
        open_source(one, window=4, intervals=str(tmp_path / "marks.json"))


def test_several_series(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    np.save(tmp_path / "alone.npy", np.arange(30.0))
    for name, n in (("b", 30), ("a", 20)):
        write(folder / f"{name}.csv", np.arange(n), np.arange(n) * 1.0)
    source = open_source(f"series:{folder}", window=5, train_end="0.5")
    timeline = source.test.timeline
    assert timeline.names == ("a.csv", "b.csv") and timeline.ends.tolist() == [20, 50]
    assert len(source.train) == 6 + 11 and len(source.test) == 16 + 26  # no window lies in both
    assert open_source(f"series:{tmp_path / 'alone.npy'}", window=5).kind.shape == (5, 1)
    write(folder / "c.csv", np.arange(9), np.arange(9), np.arange(9))
    with pytest.raises(UserError, match=r"a\.csv has the channels a, and c.csv a, b"):
        open_source(f"series:{folder}", window=5)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("warm", r"row 3 \(from 0, without the header\), column 'a' holds 'warm', which is no finite number"),
        ("inf", r"row 3 .* column 'a' holds 'inf', which is no finite number"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path, cell, said):
    with pytest.raises(UserError, match=said):
        open_source(
            write(tmp_path / "x.csv", np.arange(40), [cell if i == 3 else str(i) for i in range(40)]),
            window=4,
        )


def test_what_cannot_be_cut_is_refused(tmp_path):
    text = write(tmp_path / "x.csv", np.arange(40), np.arange(40.0))
    one = write(tmp_path / "one.csv", [0], [1.0])
    for arguments, said in (
        ({"window": 41}, "fewer than the 41 of a window"),
        ({"window": 4, "holdout": 0.5}, "config.data.holdout=0.5 says nothing of"),
        ({"window": 4, "stride": 0}, "stride=0 at least 1"),
        ({"window": 4, "resample": "often"}, "resample='often' must be"),
        ({"window": 4, "image_size": 8}, "image_size=8 is for"),
    ):
        with pytest.raises(UserError, match=said):
            open_source(text, **arguments)
    with pytest.raises(UserError, match="train on, fewer than"):
        open_source(one, window=4)
    empty = write(tmp_path / "gone.csv", np.arange(40), [""] * 40)
    with pytest.raises(UserError, match="without a missing one"):
        open_source(empty, window=4)
    with pytest.raises(UserError, match="there is no file or folder"):
        open_source("series:nowhere", window=4)


def test_a_constant_channel_is_only_shifted(tmp_path):
    source = open_source(write(tmp_path / "x.csv", np.arange(40), np.arange(40.0), np.full(40, 7)), window=4)
    assert source.kind.std[1] == 1 and source.kind.mean[1] == 7


def test_the_plant_is_labelled_to_the_step():
    source = open_source("plant", window=32)
    labels = source.test.timeline.labels
    assert labels.sum() == sum(b - a for pairs in FAULTS.values() for a, b in pairs)
    assert source.train.y.sum() == 0 and len(source.test) == 9_000 - 31
