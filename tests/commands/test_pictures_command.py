"""Photographs of any size through the commands: files in, files out."""

import numpy as np
import pytest
from PIL import Image

import unsupjax
from unsupjax.config import experiment
from unsupjax.data.tiles import whole
from unsupjax.run.fit import fit

TRAIN = {"batch_size": 8, "steps": 2, "steps_per_call": 1, "log_every": 1}
NONE = {"run": (), "figures": ()}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "codec"
    method = {"name": "codec", "hidden": 40, "filters": 4, "filter_layers": 2, "crop": 32}
    fit(
        experiment(method=method, data={"source": "photographs", "tile": 32}, train=TRAIN, evaluate=NONE),
        folder,
    )
    return folder


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "denoiser"
    sections = {
        "method": {"name": "denoiser", "crop": 16},
        "restorer": {"name": "dncnn", "features": 4, "layers": 2},
        "data": {"source": "photographs", "tile": 32, "grey": True},
        "train": TRAIN,
        "evaluate": NONE,
    }
    fit(experiment(**sections), folder)
    return folder


@pytest.fixture
def pictures(tmp_path):
    place = tmp_path / "pictures"
    (place / "below").mkdir(parents=True)
    china, flower = whole("photographs", 3).values()
    Image.fromarray(china[:50, :70]).save(place / "b.png")
    Image.fromarray(flower[:33, :20]).save(place / "below" / "a.jpg", quality=95)
    Image.fromarray(china[:40, :40, 0]).save(place / "below" / "c.png")
    return place


def test_pictures_come_back_with_their_names(codec, pictures, tmp_path, unsup):
    said = unsup("compress", codec, pictures, f"--out={tmp_path / 'small'}", "--quality=56")
    assert "b.png: " in said and "PSNR" in said and "3 pictures" in said
    files = sorted(p.relative_to(tmp_path / "small").as_posix() for p in (tmp_path / "small").rglob("*.*"))
    assert files == ["b.png.ujpc", "below/a.jpg.ujpc", "below/c.png.ujpc"]
    unsup("decompress", codec, tmp_path / "small", f"--out={tmp_path / 'back'}")
    model = unsupjax.load(codec)
    for name, mode in (("b", "RGB"), ("below/a", "RGB"), ("below/c", "L")):
        made = Image.open(tmp_path / "back" / f"{name}.png")
        source = next(pictures.glob(f"{name}.*"))
        with Image.open(source) as original:
            assert made.mode == mode and made.size == original.size
            x = np.asarray(original.convert(mode))
        content = next((tmp_path / "small").glob(f"{name}.*")).read_bytes()
        assert model.compress(x, 56) == content
        np.testing.assert_array_equal(model.decompress(content).reshape(x.shape), np.asarray(made))


def test_what_cannot_be_compressed_is_one_line(codec, denoiser, pictures, tmp_path, refused):
    out = f"--out={tmp_path / 'out'}"
    assert "quality=99" in refused("compress", codec, pictures, out, "--quality=99")
    assert "has no `compress`" in refused("compress", denoiser, pictures, out)
    assert "say where" in refused("compress", codec, pictures)
    assert "name a folder" in refused("compress", codec, pictures, f"--out={tmp_path / 'x.npz'}")
    assert "there is no folder" in refused("compress", codec, tmp_path / "nowhere", out)
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(pictures / "deep.png")
    assert "deep.png: the picture is uint16, and the codec takes 8 bits" in refused(
        "compress", codec, pictures, out
    )
    (pictures / "deep.png").unlink()
    frames = [Image.fromarray(np.full((9, 9), i, np.uint8)) for i in (0, 90)]
    frames[0].save(pictures / "moving.gif", save_all=True, append_images=frames[1:])
    assert "moving.gif holds 2 pictures" in refused("compress", codec, pictures, out)
    assert "moving.gif holds 2 pictures" in refused("denoise", denoiser, pictures, out)
    (pictures / "moving.gif").unlink()
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    assert "broken.png is not a readable image" in refused("compress", codec, pictures, out)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_decompressed_is_one_line(codec, pictures, tmp_path, unsup, refused):
    small, out = tmp_path / "small", f"--out={tmp_path / 'out'}"
    unsup("compress", codec, pictures / "b.png", f"--out={small}")
    [file] = small.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert "b.png.ujpc is damaged" in refused("decompress", codec, small, out)
    assert "no file or folder" in refused("decompress", codec, pictures, out)
    assert "no picture that `compress` wrote" in refused("decompress", codec, pictures / "b.png", out)
    assert not (tmp_path / "out").exists()


def test_pictures_of_8_and_16_bits_are_denoised(denoiser, pictures, tmp_path, unsup):
    Image.fromarray(RNG.integers(0, 2**16, (21, 30), np.uint16)).save(pictures / "deep.png")
    said = unsup("denoise", denoiser, pictures, f"--out={tmp_path / 'out'}")
    names = [line.split(":")[0] for line in said.splitlines()]
    assert names[:4] == ["b.png", "below/a.jpg", "below/c.png", "deep.png"] and "noise of about" in said
    model = unsupjax.load(denoiser)
    for name in ("b", "below/c", "deep"):
        x = np.asarray(Image.open(pictures / f"{name}.png"))
        made = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        assert made.dtype == x.dtype and made.shape == x.shape
        expected = model.denoise([x if x.ndim == 3 else x[..., None]])[0]
        np.testing.assert_array_equal(made, expected.reshape(x.shape))
    assert Image.open(tmp_path / "out" / "below" / "a.png").size == (20, 33)


def test_pictures_that_are_not_denoised_are_one_line(denoiser, pictures, tmp_path, refused):
    assert "name a folder" in refused("denoise", denoiser, pictures, f"--out={tmp_path / 'x.npy'}")
    assert "say which pictures" in refused("denoise", denoiser, f"--out={tmp_path / 'out'}")
    assert "--keep" in refused("denoise", denoiser, pictures, f"--out={tmp_path / 'out'}", "--keep=a")
