"""Tables in CSV files: types found, written back, and refused."""

import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.tables import from_columns, read, write

TEXT = """age,price,city,grade,code,share
31,1.50,"Bonn, Beuel",1,007,0.125
58,20.25,"a ""b""
c",2,010,1e-3
,3.00,,1,007,-0.5
44,?,Köln,2,100,2
"""


def table_of(tmp_path, text, name="data.csv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read(path, **options)


def test_types(tmp_path):
    table = table_of(tmp_path, TEXT)
    assert table.names == ("age", "price", "city", "grade", "code", "share")
    assert [c.kind for c in table.columns] == ["integer", "float", "text", "integer", "text", "float"]
    assert [c.discrete for c in table.columns] == [True, False, True, True, True, False]
    assert [c.decimals for c in table.columns] == [(0, 0), (2, 2), (0, 0), (0, 0), (0, 0), (0, 3)]
    np.testing.assert_array_equal(table.values[0], [31, 58, np.nan, 44])
    assert table.values[2].tolist() == ["Bonn, Beuel", 'a "b"\nc', "", "Köln"]
    assert table.values[4].tolist() == ["007", "010", "007", "100"]


def test_written_tables_read_back_the_same(tmp_path):
    table = table_of(tmp_path, TEXT)
    write(tmp_path / "again.csv", table)
    again = read(tmp_path / "again.csv")
    assert again.columns == table.columns
    for a, b in zip(table.values, again.values, strict=True):
        np.testing.assert_array_equal(a, b)
    lines = (tmp_path / "again.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1] == '31,1.50,"Bonn, Beuel",1,007,0.125'
    assert lines[4] == ",3.00,,1,007,-0.5"


def test_written_numbers_have_the_column_s_decimals(tmp_path):
    table = table_of(tmp_path, "a,b\n1.50,1\n2.25,30\n")
    write(tmp_path / "new.csv", table._replace(values=(np.array([1.23456, -0.001]), np.array([2.6, np.nan]))))
    assert (tmp_path / "new.csv").read_text() == "a,b\n1.23,3\n0.00,\n"


def test_many_values_are_continuous_and_few_are_not_unless_told():
    ten, eleven = np.arange(20) % 10, np.arange(22) % 11
    assert from_columns({"x": ten}).columns[0].discrete
    assert not from_columns({"x": eleven}).columns[0].discrete
    assert from_columns({"x": eleven}, discrete=["x"]).columns[0].discrete
    assert not from_columns({"x": ten + 0.5}).columns[0].discrete


def test_like_another_table(tmp_path):
    columns = table_of(tmp_path, "a,b\nx,0.5\n1,0.25\n").columns
    table = table_of(tmp_path, "a,b\n1,7\n2,\n", "other.csv", like=columns)
    assert table.columns == columns
    assert table.values[0].tolist() == ["1", "2"]
    np.testing.assert_array_equal(table.values[1], [7, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 columns"),
        ("a,b\n1\n", "line 2 has 1 columns"),
        ("a,,c\n1,2,3\n", "column 2 no name"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 are both named 'a'"),
        ("1.5,2\n1,2\n", "holds the number '1.5'"),
        ('a,b\n"1,2\n', "not text with commas.*close its quotes"),
        ("a\n1\n1e39\n", "beyond float32"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        table_of(tmp_path, text)


def test_other_bad_input(tmp_path):
    with pytest.raises(UserError, match="cannot open"):
        read(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"a\n\xe9\n")
    with pytest.raises(UserError, match="UTF-8"):
        read(tmp_path / "latin.csv")
    with pytest.raises(UserError, match=r"no column 'agee'.*did you mean 'age'"):
        table_of(tmp_path, TEXT, discrete=["agee"])
    with pytest.raises(ValueError, match="different lengths"):
        from_columns({"a": [1], "b": [1, 2]})
    with pytest.raises(UserError, match="empty"):
        from_columns({"a": []})
    with pytest.raises(UserError, match="cannot write"):
        write(tmp_path, from_columns({"a": [1]}))
    numbers = from_columns({"a": [0.5, 1.5]}).columns
    for text, message in (
        ("a\nx\n", "'x' is no number"),
        ("b\n1\n", "has columns"),
        ("a\n1e39\n", "float32"),
    ):
        with pytest.raises(UserError, match=message):
            table_of(tmp_path, text, like=numbers)


def test_a_text_among_numbers_makes_a_column_of_texts(tmp_path):
    column = table_of(tmp_path, "a\n1.5\n2.5\ntwo\n").columns[0]
    assert (column.kind, column.discrete) == ("text", True)
