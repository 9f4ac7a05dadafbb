"""npz, npy and csv files."""

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.kinds import Arrays, Table
from unsupjax.errors import UserError

X = np.arange(40.0).reshape(10, 4)


@pytest.fixture
def save(tmp_path):
    def save(**saved):
        np.savez(tmp_path / "a.npz", **saved)
        return f"npz:{tmp_path / 'a.npz'}"

    return save


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        (tmp_path / "a.csv").write_bytes(text.encode(encoding))
        return f"csv:{tmp_path / 'a.csv'}"

    return write


def raw(source, **options):
    """The examples in the order of the file, with holdout undone."""
    opened = open_source(source, standardise=False, **options)
    parts = [arrays(opened.train), arrays(opened.test)]
    x = np.concatenate([part[0] for part in parts])
    y = None if opened.label_names is None else np.concatenate([part[1] for part in parts])
    order = np.argsort(x.reshape(len(x), -1)[:, 0])
    return x[order], None if y is None else [opened.label_names[i] for i in y[order]]


def test_npz_with_its_own_splits(save):
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 5), np.uint8)
    y_train, y_test = np.array([3, 5, 3, 5, 3]), np.array([5.0, 3, 9, 5])
    source = open_source(save(x_train=images[:5], y_train=y_train, x_test=images[5:], y_test=y_test))
    assert source.label_names == ("3", "5", "9") and source.kind.name == "images"
    x, y = arrays(source.test)
    np.testing.assert_array_equal(x, images[5:, ..., None])
    np.testing.assert_array_equal(y, [1, 0, 2, 1])
    assert x.dtype == np.uint8 and y.dtype == np.int32
    np.testing.assert_array_equal(arrays(source.train)[1], [0, 1, 0, 1, 0])


@pytest.mark.parametrize("key", ["x", "X", "x_train"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, bool])
def test_npz_tables_become_float32(save, key, dtype):
    x, y = raw(save(**{key: X.astype(dtype)}))
    assert x.dtype == np.float32 and y is None and x.shape == (10, 4)
    if dtype is not bool:
        np.testing.assert_array_equal(x, X)


def test_npz_label_forms(save):
    text = np.array(list("abcabcabca"))
    for labels in (text, text.astype("S"), text[:, None]):
        assert raw(save(X=X, y=labels))[1] == list("abcabcabca")
    numbers = np.array([10, 9] * 5)
    for labels in (numbers, numbers.astype(float), numbers.astype(str), numbers[:, None]):
        assert open_source(save(X=X, y=labels)).label_names == ("9", "10")
        assert raw(save(X=X, y=labels))[1] == ["10", "9"] * 5


def test_float_images_keep_their_shape(save):
    x, _ = raw(save(X=np.linspace(0, 1, 10 * 6).reshape(10, 3, 2, 1)))
    assert x.shape == (10, 3, 2, 1) and x.dtype == np.float32
    assert open_source(save(X=np.zeros((10, 3, 2, 1))), as_arrays=True).kind == Arrays((3, 2, 1))
    assert open_source(save(X=np.zeros((10, 3, 2)))).kind == Arrays((3, 2))


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", X)
    x, y = raw(f"npy:{tmp_path / 'a.npy'}")
    np.testing.assert_array_equal(x, X)
    assert y is None


def bad(x, row, value):
    x = x.copy()
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    "saved, message",
    [
        ({"X": bad(X, 7, np.nan)}, "row 7 .* holds NaN"),
        ({"X": bad(X, 3, -np.inf)}, "row 3 .* holds NaN"),
        ({"X": bad(X, 0, 1e39)}, "row 0 .* too large"),
        ({"X": np.array([[object()]])}, "without pickled objects"),
        ({"X": X.astype(complex)}, "dtype complex128"),
        ({"X": X.astype(str)}, "dtype <U"),
        ({"X": X[:0]}, r"shape \(0, 4\)"),
        ({"X": X[:, 0]}, r"shape \(10,\)"),
        ({"X": X, "y": np.arange(9)}, "10 inputs but 9 labels"),
        ({"X": X, "y": np.linspace(0, 1, 10)}, "0.111.* in row 1 .* is no class"),
        ({"X": X, "y": np.full(10, np.nan)}, "nan in row 0 .* is no class"),
        ({"X": X, "y": X}, r"labels are float64 of shape \(10, 4\)"),
        ({"data": X}, r"holds \['data'\]; name the arrays"),
        ({"x_train": X, "x_test": X[:, :3]}, "x_train .* and x_test .* differ"),
        ({"x_train": X, "x_test": X, "y_test": np.arange(10)}, "has only 'y_test'"),
    ],
)
def test_npz_that_is_refused(save, saved, message):
    with pytest.raises(UserError, match=message):
        open_source(save(**saved))


def test_files_of_another_kind(tmp_path, save):
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "a.npy", X)
    for source, message in {
        f"npz:{tmp_path / 'none.npz'}": "there is no file",
        f"npz:{tmp_path / 'text.npz'}": "not a readable numpy file",
        f"npz:{tmp_path}": "not a readable numpy file",
        f"npz:{tmp_path / 'a.npy'}": "open it as 'npy:",
        save(X=X).replace("npz:", "npy:"): "open it as 'npz:",
    }.items():
        with pytest.raises(UserError, match=message):
            open_source(source)


def test_csv_with_header_and_named_labels(write):
    text = "size,kind,weight\n" + "".join(f"{i},{'ab'[i % 2]},{-i}e1\n" for i in range(10))
    x, labels = raw(write(text), label_column="kind")
    np.testing.assert_array_equal(x, [[i, -10 * i] for i in range(10)])
    assert labels == list("ababababab") and x.dtype == np.float32


@pytest.mark.parametrize("label_column", ["2", "-1"])
@pytest.mark.parametrize("header", ["", "a,b,c\n"])
def test_csv_with_labels_by_index(write, header, label_column):
    text = header + "".join(f"{i},{2 * i},{'xy'[i % 2]}\r\n" for i in range(10))
    x, labels = raw(write(text), label_column=label_column)
    np.testing.assert_array_equal(x, [[i, 2 * i] for i in range(10)])
    assert labels == list("xyxyxyxyxy")


def test_csv_without_labels_is_standardised(write):
    source = open_source(write("a, b\n" + "\n".join(f"{i}, {i * i}" for i in range(10)) + "\n\n"))
    assert source.label_names is None and len(source.train) == 8
    np.testing.assert_allclose(arrays(source.train)[0].std(0), 1, rtol=1e-5)


def test_csv_byte_order_mark_is_no_part_of_the_first_name(write):
    text = "\ufeffkind,a\n" + "".join(f"{'xy'[i % 2]},{i}\n" for i in range(10))
    _, labels = raw(write(text), label_column="kind")
    assert labels == list("xyxyxyxyxy")


def test_csv_header_of_numbers_is_found_by_the_label_column(write):
    text = "0,1,class\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(10))
    x, labels = raw(write(text), label_column="class")
    assert len(x) == 10 and labels == ["0", "1"] * 5


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", {}, "is an empty file"),
        ("\n\n", {}, "is an empty file"),
        ("a,b\n", {}, "has no rows"),
        ("a,b\n1,2\n3\n", {}, "line 3 has 1 columns where the first has 2; make"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3 has 3 columns where the first has 2"),
        ("a,b\n1,2\n3,x\n", {}, "line 3, column 'b' holds 'x'"),
        ("1,2\n\n3,\n", {}, "line 3, column '1' holds ''"),
        ("1,2\n3,nan\n", {}, "line 2, column '1' holds 'nan'"),
        ("a,b\ninf,1\n", {}, "line 2, column 'a' holds 'inf'"),
        ("a,b\n1e39,1\n", {}, "line 2, column 'a' holds '1e39'"),
        ("1,x\n2,3\n", {}, "line 1, column '1' holds 'x'"),
        ("a,b\n1,2\n", {"label_column": "c"}, "label_column='c' is no column; .*'a', 'b'"),
        ("a,b\n1,2\n", {"label_column": "2"}, "label_column='2' is no column"),
        ("a,b\n1,.5\n", {"label_column": "b"}, ".5 in row 0 .* is no class"),
        ("a\n1\n2\n", {"label_column": "a"}, "no rows with features"),
        ("a,b\n", {"header": "yes"}, "no rows below its header"),
        ("1,2\n", {}, "split is empty; it holds one example"),
        ('a,b\n1,"2\n3,4\n', {}, "row that begins in line 2 .*unexpected end.*close its quotes"),
        ('a,b\n1,2\n3,"4\n' + "5,6\n" * 50_000, {}, "row that begins in line 3 .*close its quotes"),
        ('a,b\n1,2\n3,"4"x\n', {}, "row that begins in line 3 .*close its quotes"),
        ("a,b\n1,2\n3,\0\n", {}, "line 3 holds NUL bytes.*save it as UTF-8"),
        ("a\0,b\n1,2\n3,4\n", {}, "line 1 holds NUL bytes"),
    ],
)
def test_csv_that_is_refused(write, text, options, message):
    with pytest.raises(UserError, match=message):
        open_source(write(text), **options)


def test_csv_that_cannot_be_read(write, tmp_path):
    with pytest.raises(UserError, match=r"No such file"):
        open_source("csv:none.csv")
    with pytest.raises(UserError, match=r"a.csv: line 1 is not UTF-8 text; save the file"):
        open_source(write("a,é\n1,2\n", "latin-1"))
    # Beyond what is decoded at once: the error of the decoder knows no line.
    with pytest.raises(UserError, match=r"line 10002 is not UTF-8 text"):
        open_source(write("a,b\n" + "1,2\n" * 10_000 + "é,2\n3,4\n", "latin-1"))
    with pytest.raises(UserError, match=r"line 1 is not UTF-8 text; save the file"):
        open_source(write("a,b\n1,2\n3,4\n", "utf-16"))
    with pytest.raises(UserError, match=r"line 1 holds NUL bytes, as UTF-16 does; save it as UTF-8"):
        open_source(write("a,b\n1,2\n3,4\n", "utf-16-le"))


def test_columns_of_another_order_are_not_taken_for_those_of_the_model(write):
    kind = open_source(write("a,b\n1,2\n3,4\n5,6\n7,9\n")).kind
    swapped = write("b,a\n1,2\n3,4\n5,6\n7,9\n")
    with pytest.raises(
        UserError, match=r"feature 0 \(from 0\) is 'b', and the model was trained on 'a' there"
    ):
        open_source(swapped, kind=kind)
    unnamed = Table.of_statistics([0.0, 0.0], [1.0, 1.0])  # of a run that kept no names
    assert open_source(swapped, kind=unnamed).kind == unnamed


def test_missing_entries_are_kept_where_they_are_allowed(write, save):
    text = "a,b,label\n1,,x\n3,4,y\n?,8,x\n5,NA,y\n"
    with pytest.raises(UserError, match="line 2, column 'b' holds ''"):
        open_source(write(text), label_column="label")
    source = open_source(write(text), label_column="label", missing=True, holdout=0.25)
    x = np.concatenate([arrays(source.train)[0], arrays(source.test)[0]])
    assert np.isnan(x).sum() == 3 and source.kind.names == ("a", "b")
    assert np.isfinite([c.mean for c in source.kind.columns]).all()
    gaps = X.copy()
    gaps[3, 1] = np.nan
    with pytest.raises(UserError, match="row 3"):
        open_source(save(x=gaps))
    standardised = arrays(open_source(save(x=gaps), missing=True, holdout=0.1).train)[0]
    assert abs(np.nanmean(standardised, axis=0)).max() < 1e-6
    np.testing.assert_allclose(np.nanstd(standardised, axis=0), 1, rtol=1e-5)
    gaps[4, 1] = np.inf
    with pytest.raises(UserError, match="row 4"):
        open_source(save(x=gaps), missing=True)


MIXED = "size,city,when,n,label\n" + "".join(
    f"{i / 4},{['Bonn', 'Köln', ''][i % 3]},2024-01-{i + 1:02},{i % 2},{'xy'[i % 2]}\n" for i in range(12)
)


def test_columns_of_texts_are_refused_with_the_mend(write):
    mend = r"set config.data.categories=\('city',\).*config.data.columns='mixed'.*label_column='city'"
    with pytest.raises(UserError, match=rf"line 2, column 'city' holds 'Bonn', not a number.*{mend}"):
        open_source(write(MIXED), label_column="label")
    with pytest.raises(UserError, match=r"column 'when' holds texts, such as '2024-01-01'.*\('when',\)"):
        open_source(write(MIXED), label_column="label", categories=("city",))
    with pytest.raises(UserError, match=r"column '1' holds ''.*set config.data.missing=True"):
        open_source(write("1,2\n3,\n"))


def test_a_table_of_all_types(write):
    source = open_source(write(MIXED), label_column="label", columns="mixed", holdout=0.25)
    assert [c.type for c in source.kind.columns] == ["number", "category", "date", "category"]
    assert source.kind.columns[1].values == ("", "Bonn", "Köln") and source.label_names == ("x", "y")
    x, y = arrays(source.train)
    assert x.shape == (9, 1 + 3 + 1 + 2) and x.dtype == np.float32 and y.dtype == np.int32
    back = source.kind.restore(x)
    i = np.round(back["size"] * 4).astype(int)
    assert back["when"].tolist() == [f"2024-01-{n + 1:02}" for n in i]
    assert back["city"].tolist() == [["Bonn", "Köln", ""][n % 3] for n in i]
    np.testing.assert_array_equal(back["n"], i % 2)
    np.testing.assert_array_equal(y, i % 2)
    again = open_source(write(MIXED), label_column="label", columns="mixed", holdout=0.25, kind=source.kind)
    np.testing.assert_array_equal(arrays(again.train)[0], x)


def test_categories_that_are_named(write):
    names = ("city", "when", "n")
    source = open_source(write(MIXED), label_column="label", categories=names)
    assert [c.type for c in source.kind.columns] == ["number"] + 3 * ["category"]
    alone = open_source(write(MIXED), label_column="label", categories=names[:2]).kind
    assert [c.type for c in alone.columns] == ["number", "category", "category", "number"]
    # A category that the held-out rows alone have is one of the kind's.
    assert all(c.width == 12 for c in alone.columns if c.name == "when")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (MIXED, {"columns": "mixd"}, "config.data.columns='mixd' is unknown; did you mean 'mixed'"),
        (MIXED, {"columns": "mixed", "categories": ("town",)}, "config.data.categories: 'town' is no column"),
        (
            "a,a\nx,1\ny,2\n",
            {"columns": "mixed"},
            "columns 1 and 2 are both named 'a'; rename one",
        ),
        (
            "a,b\n1.5,x\n,y\n",
            {"columns": "mixed"},
            r"row 1 \(from 0, without the header\), column 'a'.*missing=True",
        ),
        ("a\n1\n1e39\n", {"columns": "mixed"}, "column 'a' holds '1e39', beyond float32"),
    ],
)
def test_tables_of_all_types_that_are_refused(write, text, options, message):
    with pytest.raises(UserError, match=message):
        open_source(write(text), **options)


def test_types_are_of_tables_alone(write, save):
    with pytest.raises(UserError, match="columns='mixed' is for arrow and csv and parquet sources"):
        open_source(save(X=X), columns="mixed")
    with pytest.raises(UserError, match=r"categories=\('a',\) is for tables"):
        open_source("digits", categories=("a",))
    kind = open_source(write("a,b\nx,1.5\ny,2.5\nx,3.5\n"), columns="mixed", holdout=0.4).kind
    with pytest.raises(
        UserError, match="column 'a' holds a number, and the model was trained on a category there"
    ):
        open_source(write("a,b\n1,1.5\n2,2.5\n3,3.5\n"), kind=kind, holdout=0.4)
    with pytest.raises(UserError, match="column 'a' holds 'z', and the column holds one of 'x', 'y'"):
        open_source(write("a,b\nz,1.5\ny,2.5\nx,3.5\n"), columns="mixed", kind=kind, holdout=0.4)
