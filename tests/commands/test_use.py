"""The commands that use a trained model: files in, files out, in order and whole."""

import io
import json
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from launch import environment
from PIL import Image

import unsupjax
from unsupjax.commands import COMMANDS, main, output, use
from unsupjax.config import experiment
from unsupjax.data import open_source
from unsupjax.errors import UserError
from unsupjax.run.fit import fit

NET = {"name": "mlp", "features": (8,)}
SHORT = {"batch_size": 32, "steps": 10, "steps_per_call": 5, "log_every": 10}
NONE = {"run": (), "figures": ()}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory, few_panels):
    folder = tmp_path_factory.mktemp("pictures") / "run"
    method = {"name": "vae", "latent_dim": 3}
    sections = {
        "data": {"source": "digits"},
        "encoder": NET,
        "decoder": NET,
        "train": SHORT,
        "evaluate": NONE,
    }
    fit(experiment(method=method, **sections), folder)
    return folder


@pytest.fixture(scope="module")
def of_rows(tmp_path_factory, few_panels):
    """Trained on a file of ids, numbers, categories and labels, which is gone."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "train.csv").write_text(table(90))
    data = {
        "source": f"csv:{folder / 'train.csv'}",
        "columns": "mixed",
        "label_column": "ok",
        "leave_out": ("id",),
    }
    method = {"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"}
    fit(
        experiment(method=method, data=data, encoder=NET, decoder=NET, train=SHORT, evaluate=NONE),
        folder / "run",
    )
    (folder / "train.csv").unlink()
    return folder / "run"


def table(n, start=0, ok=True):
    rng = np.random.default_rng(start)
    rows = zip(rng.normal(5, 2, n), rng.integers(100, 999, n), "xyz" * n, strict=False)
    lines = [
        f"r{start + i},{a:.3f},{b},{c}" + (",yes" if ok and i % 2 else ",no" if ok else "")
        for i, (a, b, c) in enumerate(rows)
    ]
    return "\n".join(["id,size,count,sort" + (",ok" if ok else ""), *lines]) + "\n"


@pytest.fixture
def pictures(tmp_path):
    """Nine PNG files below `photos`, in the order of their names, and what they hold."""
    x, _ = open_source("digits").test.gather(np.arange(9))
    for i, picture in enumerate(x):
        path = tmp_path / "photos" / ("sub" if i > 5 else "") / f"p{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., 0]).save(path)
    return x


def read_csv(path):
    lines = [line.split(",") for line in path.read_text().splitlines()]
    return lines[0], lines[1:]


def test_codes_of_pictures_keep_names_and_order(of_pictures, pictures, unsup, tmp_path):
    assert unsup("encode", of_pictures, "photos", "--out=z.csv") == "z.csv: 9 examples\n"
    names, rows = read_csv(tmp_path / "z.csv")
    assert names == ["file", "z0", "z1", "z2"]
    assert [row[0] for row in rows] == [f"p{i}.png" for i in range(6)] + [f"sub/p{i}.png" for i in (6, 7, 8)]
    expected = unsupjax.load(of_pictures).encode(pictures)
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, rtol=1e-6)
    for name in ("z.npy", "z.npz", "z.parquet"):
        unsup("encode", of_pictures, "photos", f"--out={name}", "--batch=4")
    np.testing.assert_allclose(np.load("z.npy"), expected, atol=1e-6)
    kept = np.load("z.npz")
    np.testing.assert_allclose(kept["x"], expected, atol=1e-6)
    assert kept["file"].tolist() == [row[0] for row in rows]
    from pyarrow import parquet

    found = parquet.read_table("z.parquet")
    assert found.column_names == names and found.column("z1").type == "float"
    np.testing.assert_allclose(found.column("z1"), expected[:, 1], atol=1e-6)


def test_what_is_decoded_again_is_the_reconstruction(of_pictures, pictures, unsup, tmp_path):
    unsup("reconstruct", of_pictures, "photos", "--out=made")
    expected = unsupjax.load(of_pictures).reconstruct(pictures)
    for i in range(9):
        path = tmp_path / "made" / ("sub" if i > 5 else "") / f"p{i}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected[i, ..., 0])
    for codes in ("z.npy", "z.csv", "z.parquet"):
        unsup("encode", of_pictures, "photos", f"--out={codes}")
        unsup("decode", of_pictures, codes, "--out=again.npy", "--overwrite")
        assert np.abs(np.load("again.npy").astype(int) - expected).max() <= 1


def test_archives_and_tables_of_pictures(of_pictures, pictures, unsup):
    import tarfile

    import pyarrow as pa
    from pyarrow import parquet

    expected = unsupjax.load(of_pictures).score(pictures)
    with tarfile.open("shard.tar", "w") as archive:
        for i in range(9):
            archive.add(f"photos/{'sub/' * (i > 5)}p{i}.png", f"{i}.png")
    encoded = [pathlib.Path(f"photos/{'sub/' * (i > 5)}p{i}.png").read_bytes() for i in range(9)]
    parquet.write_table(pa.table({"image": encoded, "title": [f"t{i}" for i in range(9)]}), "p.parquet")
    np.save("p.npy", pictures)
    unsup("score", of_pictures, "shard.tar", "--out=tar.csv")
    unsup("score", of_pictures, "p.parquet", "--keep=title", "--out=parquet.npz")
    unsup("score", of_pictures, "p.npy", "--out=npy.npy")
    with open("tar.csv") as file:
        np.testing.assert_allclose(
            [float(line.split(",")[1]) for line in file.readlines()[1:]], expected, rtol=1e-5
        )
    np.testing.assert_allclose(np.load("npy.npy"), expected, rtol=1e-5)
    kept = np.load("parquet.npz")
    np.testing.assert_allclose(kept["x"], expected, rtol=1e-5)
    assert kept["title"].tolist() == [f"t{i}" for i in range(9)]


def test_a_broken_picture_is_named_and_its_row_is_blank(
    of_pictures, pictures, unsup, refused, tmp_path, caplog
):
    (tmp_path / "photos" / "p3.png").write_bytes(b"\x89PNG nonsense")
    assert "1 of 9 images are unreadable" in refused("encode", of_pictures, "photos", "--out=z.csv")
    said = unsup("encode", of_pictures, "photos", "--out=z.csv", "--unreadable=0.2")
    assert (
        said
        == "z.csv: 9 examples, 1 of which could not be read: their rows are blank (NaN, -1 of clusters, 0 of pixels)\n"
    )
    assert "p3.png" in caplog.text
    _, rows = read_csv(tmp_path / "z.csv")
    expected = unsupjax.load(of_pictures).encode(pictures)
    assert rows[3] == ["p3.png", "", "", ""]
    np.testing.assert_allclose(
        [float(row[1]) for row in rows if row[1]], np.delete(expected[:, 0], 3), rtol=1e-6
    )
    assert "left out" in unsup("reconstruct", of_pictures, "photos", "--out=made", "--unreadable=0.2")
    assert len(list((tmp_path / "made").rglob("*.png"))) == 8


def test_scores_stand_beside_the_columns_of_their_rows(of_rows, unsup, tmp_path):
    text = table(20, start=7)
    (tmp_path / "new.csv").write_text(text)
    unsup("score", of_rows, "new.csv", "--out=s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert [line.rpartition(",")[0] for line in lines] == text.splitlines()
    model = unsupjax.load(of_rows)
    columns = dict(
        zip(
            *(lambda t: (t[0], zip(*t[1:], strict=True)))([l.split(",") for l in text.splitlines()]),
            strict=True,
        )
    )
    taken = {
        name: np.array(columns[name], float if name != "sort" else str) for name in ("size", "count", "sort")
    }
    scores = [float(line.rpartition(",")[2]) for line in lines[1:]]
    np.testing.assert_allclose(scores, model.score(taken), rtol=1e-5)
    # Columns in another order, other delimiters, without label and id.
    order = [3, 1, 2]
    (tmp_path / "other.csv").write_text(
        "\n".join(";".join(np.array(l.split(","))[order]) for l in text.splitlines())
    )
    unsup("score", of_rows, "other.csv", "--out=o.npy")
    np.testing.assert_allclose(np.load("o.npy"), scores, rtol=1e-5)
    from pyarrow import csv, parquet

    parquet.write_table(csv.read_csv("new.csv"), "new.parquet")
    unsup("score", of_rows, "new.parquet", "--out=p.parquet")
    found = parquet.read_table("p.parquet")
    assert found.column_names == ["id", "size", "count", "sort", "ok", "score"]
    np.testing.assert_allclose(found.column("score"), scores, rtol=1e-5)


def test_blocks_of_lines_are_cut_alike_whatever_the_file(of_rows, unsup, monkeypatch, tmp_path):
    monkeypatch.setattr("unsupjax.data.delimited._PART", 500)
    monkeypatch.setattr(use, "_BLOCK", 16)
    (tmp_path / "new.csv").write_text(table(100, start=3))
    unsup("score", of_rows, "new.csv", "--out=parts.csv", "--batch=16")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    unsup("score", of_rows, "new.csv", "--out=whole.csv")
    parts, whole = read_csv(tmp_path / "parts.csv"), read_csv(tmp_path / "whole.csv")
    assert [row[:-1] for row in parts[1]] == [row[:-1] for row in whole[1]]
    np.testing.assert_allclose(*[[float(row[-1]) for row in rows] for _, rows in (parts, whole)], rtol=1e-5)


def test_codes_and_reconstructions_of_rows(of_rows, unsup, tmp_path):
    (tmp_path / "new.csv").write_text(table(5))
    unsup("encode", of_rows, "new.csv", "--out=z.csv")
    names, rows = read_csv(tmp_path / "z.csv")
    assert names == ["id", "ok", "z0", "z1"] and [row[0] for row in rows] == [f"r{i}" for i in range(5)]
    unsup("reconstruct", of_rows, "new.csv", "--keep=id", "--out=r.csv")
    names, rows = read_csv(tmp_path / "r.csv")
    assert names == ["id", "ok", "size", "count", "sort"] and {row[-1] for row in rows} <= set("xyz")


def test_standard_input_is_answered_row_by_row(of_rows, monkeypatch, capsys, tmp_path):
    text = table(30, start=5, ok=False)
    (tmp_path / "new.csv").write_text(text)
    main(["score", str(of_rows), "new.csv", "--out=s.csv"])
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    main(["score", str(of_rows), "-"])
    lived, filed = capsys.readouterr().out.splitlines(), (tmp_path / "s.csv").read_text().splitlines()
    assert [line.rpartition(",")[0] for line in lived] == [line.rpartition(",")[0] for line in filed]
    score = lambda lines: [float(line.rpartition(",")[2]) for line in lines[1:]]
    np.testing.assert_allclose(score(lived), score(filed), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,size,count,sort\nr1,2.5,3\n", "a row has 3 fields, and the first has 4"),
        ("id,size,count,sort\nr1,big,3,x\n", "column 'size' holds 'big'"),
        ("id,size,count\nr1,2.5,3\n", "the column 'sort' is missing"),
        ('id,size,count,sort\nr1,2.5,3,"x\n', ""),
    ],
)
def test_a_row_that_is_none_ends_the_stream(of_rows, monkeypatch, refused, text, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert message in refused("score", of_rows, "-")


BAD = [
    (["encode", "RUN", "photos"], "say where results go: --out="),
    (["encode", "RUN", "photos", "--out=z.txt"], "there is no form for '.txt'"),
    (["encode", "RUN", "photos", "--out=codes"], "a folder is for pictures") ,
    (["reconstruct", "RUN", "photos", "--out=x.csv"], "have no form in columns"),
    (["assign", "RUN", "photos", "--out=z.csv"], "has no `assign`; it has encode"),
    (["denoise", "RUN", "photos", "--out=z"], "has no `denoise`"),
    (["encode", "RUN", "nowhere", "--out=z.csv"], "there is no such file or folder, and no kind 'nowhere'"),
    (["encode", "RUN", "rows.csv", "--out=z.csv"], "holds rows of a table, and the model takes images"),
    (["encode", "RUN", "notes.md", "--out=z.csv"], "has no suffix that says what it holds"),
    (["encode", "RUN", "large.npy", "--out=z.csv"], "(9, 9, 1), where uint8 (8, 8, 1) belong"),
    (["encode", "RUN", "large", "--out=z.csv"], "is a picture of shape (9, 9, 1), and the model takes (8, 8, 1)"),
    (["encode", "RUN", "photos", "--out=/proc/z.csv"], "cannot be written"),
    (["encode", "RUN", "photos", "--out=z.csv", "--step=7"], "there are [10]"),
    (["encode", "RUN", "photos", "--out=z.csv", "--batch=-1"], "must be at least 1"),
    (["encode", "RUN", "photos", "--out=z.csv", "--unreadable=2"], "must be a fraction"),
    (["encode", "RUN", "photos", "--out=z.csv", "--sep=;"], "unrecognized arguments: --sep=;"),
    (["encode", "RUN", "-", "--out=z.csv"], "encode reads no standard input; score and assign do"),
    (["score", "RUN", "-"], "standard input is for rows of tables"),
    (["encode", "RUN", "photos", "--out=z.csv", "--text_column=a"], "--text_column is for models of texts"),
    (["decode", "RUN", "--out=z"], "decode needs codes"),
    (["decode", "RUN", "large.npy", "--out=z"], "where numbers [N, 3] belong"),
    (["encode", "photos", "photos", "--out=z.csv"], "no run there"),
    (["encode", "RUN", "empty.npy", "--out=z.csv"], "empty"),
    (["encode", "RUN", "void", "--out=z.csv"], "there are no images"),
    (["sample", "RUN", "--n=0", "--out=z"], "must be at least 1"),
    (["sample", "RUN", "--out=z.csv"], "have no form in columns"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda a: " ".join(a) if isinstance(a, list) else ""
)
def test_bad_input_is_one_line_and_leaves_nothing(
    of_pictures, pictures, refused, tmp_path, arguments, message
):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "notes.md").write_text("hello")
    (tmp_path / "large").mkdir()
    (tmp_path / "void").mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "large" / "a.png")
    np.save(tmp_path / "large.npy", np.zeros((3, 9, 9, 1), np.uint8))
    np.save(tmp_path / "empty.npy", np.zeros((0, 8, 8, 1), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    said = refused(*[str(of_pictures) if a == "RUN" else a for a in arguments])
    assert message in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is an empty file"),
        ("size,count,sort\n", "holds no examples"),
        ("size,count\n1,2\n", "the column 'sort' is missing; the model takes size, count, sort"),
        ("size,count,sort,size\n1,2,x,3\n", "columns 1 and 4 are both named 'size'"),
        (
            "size,count,sort,colour\n1,2,x,red\n",
            "the model takes no column 'colour'; to have it beside the results, add --keep=colour",
        ),
        (
            "size,count,sort\n1,2,x\n1,many,x\n",
            "row 1 (from 0, without the header), column 'count' holds 'many'",
        ),
        ("size,count,sort\n1,2,w\n", "holds 'w', and the column holds one of 'x', 'y', 'z'"),
        ("size,count,sort\n1,,x\n", "'count'"),
        ("size,count,sort\n1,2\n", "line 2 has 2 columns"),
        ("size,count,sort,score\n1,2,x,3\n", "add --keep=score"),
    ],
)
def test_bad_rows_are_refused(of_rows, refused, tmp_path, text, message):
    (tmp_path / "new.csv").write_text(text)
    assert message in refused("score", of_rows, "new.csv", "--out=s.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv"]


def test_what_is_there_is_kept_until_all_is_written(of_rows, unsup, refused, monkeypatch, tmp_path):
    (tmp_path / "new.csv").write_text(table(10))
    (tmp_path / "s.csv").write_text("mine")
    assert "is there already: choose another, or add --overwrite" in refused(
        "score", of_rows, "new.csv", "--out=s.csv"
    )
    (tmp_path / "bad.csv").write_text(table(10).replace(",x,", ",w,"))
    refused("score", of_rows, "bad.csv", "--out=s.csv", "--overwrite")
    assert (tmp_path / "s.csv").read_text() == "mine"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(output.Csv, "write", full)
        said = refused("score", of_rows, "new.csv", "--out=s.csv", "--overwrite")
    assert "cannot be written (No space left on device): make room there" in said
    with monkeypatch.context() as patch:
        patch.setattr(output.Csv, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert "interrupted" in refused("score", of_rows, "new.csv", "--out=s.csv", "--overwrite")
    assert (tmp_path / "s.csv").read_text() == "mine" and not list(tmp_path.glob("*.partial"))
    unsup("score", of_rows, "new.csv", "--out=s.csv", "--overwrite")
    assert (tmp_path / "s.csv").read_text().startswith("id,size")


def test_samples_in_files(of_pictures, unsup, tmp_path):
    unsup("sample", of_pictures, "--n=5", "--out=new")
    unsup("sample", of_pictures, "--n=5", "--seed=0", "--out=new.npy")
    drawn = np.load("new.npy")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [f"{i:08d}.png" for i in range(5)]
    np.testing.assert_array_equal(np.asarray(Image.open("new/00000003.png")), drawn[3, ..., 0])
    np.testing.assert_array_equal(drawn, unsupjax.load(of_pictures).sample(5))


def test_several_processes_write_what_one_writes(of_rows, unsup, monkeypatch, tmp_path):
    """Each its blocks; here one after the other, the primary last."""
    (tmp_path / "new.csv").write_text(table(100, start=3))
    monkeypatch.setattr(use, "_BLOCK", 16)
    unsup("score", of_rows, "new.csv", "--out=one.csv", "--batch=16")
    stale = tmp_path / "two.csv.parts"  # of a run that died
    stale.mkdir()
    (stale / "00000090.npz").write_bytes(b"")
    (stale / "00000091.npz").write_bytes(b"")
    for part in (1, 0):
        monkeypatch.setattr(use, "share", lambda part=part: (part, 2))
        monkeypatch.setattr(use, "is_primary", lambda part=part: part == 0)
        main(["score", str(of_rows), "new.csv", "--out=two.csv", "--batch=16"])
    assert (tmp_path / "two.csv").read_text() == (tmp_path / "one.csv").read_text()
    assert not (tmp_path / "two.csv.parts").exists()


@pytest.mark.thorough
def test_two_processes_share_a_source(of_rows, unsup, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (tmp_path / "new.csv").write_text(table(9000, start=3))
    unsup("score", of_rows, "new.csv", "--out=one.csv")
    meeting = f"--coordinator=localhost:{port}"
    command = [
        sys.executable,
        "-m",
        "unsupjax",
        "score",
        str(of_rows),
        "new.csv",
        "--out=two.csv",
        meeting,
        "--num_processes=2",
    ]
    both = [
        subprocess.Popen([*command, f"--process_id={i}"], cwd=tmp_path, env=environment()) for i in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    one, two = (read_csv(tmp_path / name)[1] for name in ("one.csv", "two.csv"))
    assert [row[:-1] for row in one] == [row[:-1] for row in two]
    np.testing.assert_allclose(*[[float(row[-1]) for row in rows] for rows in (one, two)], rtol=1e-5)


def test_every_command_helps(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0
        said = capsys.readouterr().out
        assert said.startswith(f"usage: unsupjax {name}") and len(said) > 150
    main([])
    assert all(name in capsys.readouterr().out for name in [*COMMANDS][:1])


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit, match="has no command 'encod'; did you mean 'encode'"):
        main(["encod"])


def test_writers_refuse_what_has_no_form(tmp_path):
    for values, message in (
        (np.zeros((2, 8, 8, 2), np.uint8), "of 2 channels"),
        (np.zeros((2, 8, 8, 1), np.float32), "pictures of float32"),
        (np.zeros((2, 3)), "these are none"),
    ):
        with (
            pytest.raises(UserError, match=message),
            output.opened(str(tmp_path / "out"), output.Pngs) as file,
        ):
            file.write({"row": [0, 1]}, "x", values)
    with pytest.raises(UserError, match="column 'z0' as well"), output.opened("a.csv", output.Csv) as file:
        file.write({"z0": [1, 2]}, "z", np.zeros((2, 3)))
    assert not any(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_table_model_in_one_file_samples_too(unsup, tmp_path):
    (tmp_path / "d.csv").write_text(table(60))
    unsup("tables", "fit", "d.csv", "m.npz", "--steps", "2")
    unsup("sample", "m.npz", "--n=7", "--out=new.csv")
    assert len((tmp_path / "new.csv").read_text().splitlines()) == 8
    assert json.dumps(read_csv(tmp_path / "new.csv")[0]) == json.dumps(["id", "size", "count", "sort", "ok"])
