"""Delimited text as people write it."""

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.columns import texts, typed, written
from unsupjax.data.delimited import read
from unsupjax.errors import UserError
from unsupjax.evaluate.synthesis.table_report import copies
from unsupjax.tables import from_columns
from unsupjax.tables import read as read_table
from unsupjax.tables import write as write_table


@pytest.fixture
def write(tmp_path):
    def save(text):
        path = tmp_path / "a.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return save


ROWS = [[f"{i}.5", f"{2 * i}", "ab"[i % 2]] for i in range(8)]


def lines(delimiter, end="\n", head=("x", "y", "z")):
    return end.join(delimiter.join(row) for row in [list(head), *ROWS] if row) + end


@pytest.mark.parametrize(
    "text",
    [
        lines(","),
        lines(";", "\r\n"),
        lines("\t", "\r"),
        lines("|"),
        "\ufeff" + lines(";"),
        lines(";").replace(".5", ",5"),
        lines(",").replace("a\n", '"a"\n'),
        lines(";", head=("x", "y", "z")).replace("b\n", '"b"\n\n'),
    ],
)
def test_all_ways_to_write_a_table_give_the_same(write, text):
    found = read("here", write(text))
    assert found.names == ("x", "y", "z") and found.named
    _, x = typed("here", "x", found.columns[0])
    np.testing.assert_array_equal(x, [i + 0.5 for i in range(8)])
    source = open_source("csv:" + write(text), label_column="z", holdout=0.25)
    assert source.label_names == ("a", "b") and source.kind.names == ("x", "y") and len(source.train) == 6


@pytest.mark.parametrize(
    "text, named",
    [
        ("2019,2020\n1.5,2.5\n2.5,1.25\n", True),
        ("0,1,2,3\n5,6,7,8\n7,8,9,9\n", True),
        ("0,1\n5,6\n7,8\n", False),
        ("1,2\n3,4\n5,6\n", False),
        ("city,size,2020\n1,2,3\n3,4,5\n", True),
        ("?,2\n3,4\n5,6\n", False),
        ("a,b\nc,d\n", True),
    ],
)
def test_headers_are_told_from_rows(write, text, named):
    found = read("here", write(text))
    assert found.named == named
    for header in ("yes", "no"):
        assert read("here", write(text), header=header).named == (header == "yes")


def test_an_index_without_a_name_is_left_out_and_said(write, caplog):
    text = ",a,b\n" + "".join(f"{i},{i / 2},{-i}\n" for i in range(8))
    assert open_source("csv:" + write(text)).kind.names == ("a", "b")
    assert "the first column has no name and numbers the rows" in caplog.text
    with pytest.raises(UserError, match="gives column 1 no name"):
        read("here", write(text.replace("3,1.5", "9,1.5")))


def test_columns_can_be_left_out(write):
    path = "csv:" + write(lines(","))
    assert open_source(path, leave_out=("z", "x")).kind.names == ("y",)
    with pytest.raises(UserError, match=r"config.data.leave_out: 'w' is no column"):
        open_source(path, leave_out=("w",))


@pytest.mark.parametrize("word", ["None", "#N/A", "<NA>", "<null>", "-", ".", "NaN", "NULL"])
def test_words_for_missing_are_missing(word, caplog):
    column, values = typed("here", "n", ["1.5", word, "2", word])
    assert column.kind == "float" and np.isnan(values).tolist() == [False, True, False, True]
    assert f"in column 'n', missing is {word!r}" in caplog.text


@pytest.mark.parametrize("stray", ["abc", "inf", "1.2.3", "12 kg", "42731,00"])
def test_a_text_among_numbers_is_no_reason_to_make_them_texts(stray):
    numbers = [str(i / 4) for i in range(40)]
    with pytest.raises(
        UserError, match=rf"row 30 .*column 'n' holds '{stray}', and the column holds numbers"
    ):
        typed("here", "n", [*numbers[:30], stray, *numbers[30:]])
    assert typed("here", "n", [*numbers, stray], discrete=True)[0].kind == "text"
    if stray != "inf":
        assert typed("here", "n", ["1", "2", "3+"])[0].kind == "text"


@pytest.mark.parametrize("codes", [["02139", "2139"], [str(2**53), str(2**53 + 1)], [b"02139", b"2139"]])
def test_codes_stay_texts(codes):
    table = from_columns({"zip": codes * 20, "n": range(40)})
    assert table.columns[0].kind == "text" and len(set(table.values[0])) == 2
    assert set(table.values[0]) <= {"02139", "2139", str(2**53), str(2**53 + 1)}


NUMBERS = [19.99, 1e-170, 6.02e23, -0.1, 123456789.123, 2.0**53, 1 / 3, 5e-324, 0.1 + 0.2, 1e15 + 0.3, 7.0]


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
def test_what_is_written_is_read_again_in_every_number(tmp_path, scale):
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [np.array(NUMBERS), scale * rng.normal(size=200), np.round(rng.normal(size=50), 2)]
    )
    table = from_columns({"x": values, "n": np.arange(len(values)), "gap": [None, 1.25] * 130 + [2.5]})
    for _ in range(2):
        write_table(tmp_path / "a.csv", table)
        again = read_table(tmp_path / "a.csv")
        for a, b in zip(table.values, again.values, strict=True):
            np.testing.assert_array_equal(a, b)
        assert [c.kind for c in again.columns] == [c.kind for c in table.columns]
        table = again
    assert copies(table, again) == 1


@pytest.mark.parametrize("decimals", range(0, 18, 3))
def test_rounding_to_the_digits_of_a_column_keeps_its_numbers(decimals):
    """Against Python's own formatting, digit by digit."""
    rng = np.random.default_rng(decimals)
    x = [float(f"{v:.{decimals}f}") for v in rng.normal(size=300) * 10.0 ** rng.integers(-3, 12, 300)]
    np.testing.assert_array_equal(written(np.array(x), (0, decimals)), x)
    column, values = typed("here", "x", [repr(v) for v in x])
    assert [float(t) for t in texts(column, values)] == x


def test_tiny_and_single_numbers_have_a_spread(write):
    text = "a,b,c\n" + "".join(f"{i}e-200,7,{'' if i % 2 else 3}\n" for i in range(20))
    source = open_source("csv:" + write(text), missing=True)
    x, _ = arrays(source.train)
    np.testing.assert_allclose(x[:, 0].std(), 1, rtol=1e-4)
    assert source.kind.columns[1].std == source.kind.columns[2].std == 1


def test_numbers_with_commas_are_read_where_none_has_a_point(write):
    column, values = typed("here", "p", ["19,99", "5", ",5"])
    assert column.decimals == (0, 2) and values.tolist() == [19.99, 5, 0.5]
    assert typed("here", "p", ["19,99", "5.5"])[0].kind == "text"


@pytest.mark.parametrize("names", [range(100, 140), [f"r{i}" for i in range(40)]])
def test_a_column_that_names_the_rows_is_said_and_hides_no_copies(names, caplog):
    x = np.random.default_rng(0).normal(size=40)
    table = from_columns({"id": names, "x": x})
    assert "column 'id' is another in every row" in caplog.text and "'x'" not in caplog.text
    others = from_columns({"id": list(names)[::-1], "x": x})
    assert copies(others, table) == 1
    alone = from_columns({"id": names})
    assert copies(alone, alone) == 1
