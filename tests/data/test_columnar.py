"""Tables of typed columns and shards of pictures, as other programs write them."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from unsupjax.data import arrays, open_source
from unsupjax.errors import UserError

RNG = np.random.default_rng(0)


def png(seed, shape=(6, 5, 3)):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(file, "PNG")
    return file.getvalue()


def pictures(n, first=0):
    """A table as `datasets` makes it of pictures and classes."""
    names = {
        "info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog", "eel"]}, "image": {}}}
    }
    cells = pa.array(
        [{"bytes": png(first + i), "path": None} for i in range(n)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": cells, "label": pa.array(np.arange(n) % 3)})
    return table.replace_schema_metadata({"huggingface": json.dumps(names)})


def save_to_disk(folder, table):
    """As `datasets.save_to_disk` does: the stream format, a list of its files, and caches beside them."""
    folder.mkdir(parents=True)
    for name in ("data-00000-of-00001.arrow", "cache-123.arrow"):
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
    )


def mixed(n=40):
    return pa.table(
        {
            "age": pa.array([None if i % 7 == 3 else i % 9 for i in range(n)], pa.int32()),
            "price": pa.array(np.linspace(0, 9, n)),
            "zip": pa.array(["02139", "2139"] * (n // 2)).dictionary_encode(),
            "when": pa.array(np.datetime64("2024-01-01") + np.arange(n)),
            "ok": pa.array([bool(i % 2) for i in range(n)]),
            "y": pa.array([b"a", b"b"] * (n // 2)),
        }
    )


def test_a_folder_of_hugging_face_datasets(tmp_path, caplog):
    save_to_disk(tmp_path / "train", pictures(20))
    save_to_disk(tmp_path / "test", pictures(8, 100))
    source = open_source(f"arrow:{tmp_path}")
    assert source.label_names == ("cat", "dog", "eel") and (len(source.train), len(source.test)) == (20, 8)
    x, y = arrays(source.test)
    assert y.tolist() == [i % 3 for i in range(8)] and "the column 'label' holds the labels" in caplog.text
    np.testing.assert_array_equal(x[3], np.random.default_rng(103).integers(0, 256, (6, 5, 3), np.uint8))
    assert open_source(f"arrow:{tmp_path}", known=source.members(), image_size=4).kind.shape == (4, 4, 3)


def test_parquet_files_named_by_their_split(tmp_path):
    for name, table in (
        ("train-00000-of-2", pictures(9)),
        ("train-00001-of-2", pictures(9)),
        ("test-0", pictures(6)),
    ):
        (tmp_path / "data").mkdir(exist_ok=True)
        parquet.write_table(table, tmp_path / "data" / f"{name}.parquet")
    source = open_source(f"parquet:{tmp_path}")
    assert (len(source.train), len(source.test)) == (18, 6)
    parquet.write_table(pictures(6), tmp_path / "data" / "more.parquet")
    with pytest.raises(UserError, match=r"splits \['test', 'train'\], and \['data/more.parquet'\] of none"):
        open_source(f"parquet:{tmp_path}")


def test_typed_columns_keep_their_types(tmp_path):
    parquet.write_table(mixed(), tmp_path / "t.parquet")
    path = f"parquet:{tmp_path / 't.parquet'}"
    source = open_source(path, columns="mixed", missing=True, label_column="y")
    types = [(c.name, c.type) for c in source.kind.columns]
    assert types == [
        ("age", "category"),
        ("price", "number"),
        ("zip", "category"),
        ("when", "date"),
        ("ok", "category"),
    ]
    assert source.kind.columns[2].values == ("02139", "2139") and source.label_names == ("a", "b")
    back = source.kind.restore(arrays(source.train)[0])
    assert set(back["when"]) <= {str(np.datetime64("2024-01-01") + np.timedelta64(i, "D")) for i in range(40)}
    left = open_source(path, leave_out=("zip", "when", "y"), missing=True)
    assert left.kind.names == ("age", "price", "ok")
    for options, message in (
        ({}, "column 'zip' holds texts"),
        (
            {"leave_out": ("zip", "when", "y")},
            "column 'age' holds nothing, not a number.*config.data.missing=True",
        ),
        ({"leave_out": ("town",)}, "'town' is no column"),
        ({"image_size": 3}, "has no column of them"),
    ):
        with pytest.raises(UserError, match=message):
            open_source(path, **options)


@pytest.mark.parametrize(
    "values, message",
    [
        (pa.array([2**53 + 1] * 8), "integers beyond 2\\^53"),
        (pa.array([[1.0], [1.0, 2.0]] * 4), r"lists of \['1', '2'\] numbers"),
        (pa.array([{"a": 1}] * 8), "neither numbers nor texts"),
        (pa.array([1.0, 1e39] * 4), "row 1 .* not a number of float32"),
        (pa.array([], pa.float64()), "has no rows"),
    ],
)
def test_columns_that_are_refused(tmp_path, values, message):
    parquet.write_table(pa.table({"a": values}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=message):
        open_source(f"parquet:{tmp_path / 't.parquet'}")


def test_vectors_are_rows(tmp_path):
    x = RNG.normal(size=(20, 5)).astype(np.float32)
    lists = pa.array(x.tolist(), pa.list_(pa.float32()))
    save_to_disk(tmp_path / "a", pa.table({"embedding": lists, "y": np.arange(20) % 2}))
    source = open_source(f"arrow:{tmp_path / 'a'}", label_column="y", standardise=False, holdout=0.25)
    assert len(source.train) == 15 and {r.tobytes() for r in arrays(source.train)[0]} <= {
        r.tobytes() for r in x
    }


def test_files_that_are_none(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "a.arrow").write_bytes(b"not")
    for source, message in (
        ("parquet:none", "there is no file or folder none"),
        (f"parquet:{tmp_path / 't.parquet'}", "damaged or of another format"),
        (f"arrow:{tmp_path / 'a.arrow'}", "damaged or of another format"),
        (f"arrow:{tmp_path / 't.parquet'}", "damaged or of another format"),
    ):
        with pytest.raises(UserError, match=message):
            open_source(source)


def shard(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    "label", [("cls", lambda i: str(i % 2)), ("json", lambda i: json.dumps({"label": "ab"[i % 2]})), None]
)
def test_shards_of_pictures(tmp_path, caplog, label):
    for s in range(2):
        members = {f"{s}{i}.png": png(10 * s + i) for i in range(6)} | {"notes.txt": b""}
        if label:
            members |= {f"{s}{i}.{label[0]}": label[1](i).encode() for i in range(6)}
        shard(tmp_path / f"part-{s:02d}.tar", members)
    for path in (tmp_path, tmp_path / "part-{00..01}.tar", tmp_path / "part-*.tar"):
        source = open_source(f"tar:{path}", holdout=0.25)
        assert len(source.train) == 9 and source.kind.shape == (6, 5, 3)
        assert source.label_names == (
            None if label is None else ("0", "1") if label[0] == "cls" else ("a", "b")
        )
    assert "2 members that are neither" in caplog.text
    every = {
        np.random.default_rng(10 * s + i).integers(0, 256, (6, 5, 3), np.uint8).tobytes()
        for s in range(2)
        for i in range(6)
    }
    assert {x.tobytes() for part in (source.train, source.test) for x in arrays(part)[0]} == every


def test_shards_that_are_refused(tmp_path):
    def refused(message, members, path="a.tar", content=None):
        if members:
            shard(tmp_path / "a.tar", members)
        if content:
            (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(UserError, match=message):
            open_source(f"tar:{tmp_path / path}")

    refused("there is no file .*b.tar", {}, "b.tar")
    refused("there are no pictures", {"a.txt": b""})
    refused("two pictures named a", {"a.png": png(0), "a.jpg": png(0)})
    refused("b.png in .* has no label", {"a.png": png(0), "a.cls": b"1", "b.png": png(1)})
    refused("a.json in .* is no label", {"a.png": png(0), "a.json": b"{"})
    refused("damaged, or compressed", {}, content=b"\x1f\x8b no tar" * 100)


def test_files_in_a_cloud():
    with fsspec.open("memory://bucket/a.csv", "w") as file:
        file.write("a;b\n" + "".join(f"{i},5;{-i}\n" for i in range(10)))
    assert open_source("csv:memory://bucket/a.csv").kind.names == ("a", "b")
    with fsspec.open("memory://bucket/a.npy", "wb") as file:
        np.save(file, RNG.normal(size=(10, 3)))
    assert open_source("npy:memory://bucket/a.npy").kind.shape == (3,)
    for source in ("csv:memory://bucket/none.csv", "csv:nothing://a.csv", "npz:nothing://a.npz"):
        with pytest.raises(UserError, match=r"none\.csv|Protocol not known"):
            open_source(source)
    with pytest.raises(UserError, match="folder: reads local folders"):
        open_source("folder:gs://bucket/photos")
