"""A trained model, loaded without its data: raw in, raw out, the numbers that the run saw."""

import json
import shutil

import jax
import numpy as np
import pytest

import unsupjax
from unsupjax.config import experiment
from unsupjax.data import open_source
from unsupjax.errors import UserError
from unsupjax.model import ABILITIES, Unable
from unsupjax.run.fit import fit
from unsupjax.run.fit import load as load_run

NET = {"name": "mlp", "features": (8,)}
SHORT = {"batch_size": 32, "steps": 20, "steps_per_call": 5, "log_every": 10}


def run(folder, method, source="digits", **sections):
    nets = {} if method["name"] in ("som", "kmeans") else {"encoder": NET, "decoder": NET}
    config = {"data": {"source": source}, "train": SHORT, "evaluate": {"run": (), "figures": ()}, **nets}
    return fit(experiment(method=method, **config | sections), folder)


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory, few_panels):
    folder = tmp_path_factory.mktemp("vae") / "run"
    evaluated = {"run": ("reconstruction",)}
    results = run(
        folder, {"name": "vae", "latent_dim": 3}, checkpoint={"every": 10, "seconds": 0}, evaluate=evaluated
    )
    return folder, results, unsupjax.load(folder)


@pytest.fixture(scope="module")
def of_rows(tmp_path_factory, few_panels):
    """A model of named columns of all types, whose file is gone."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    lines = [
        f"{a:.3f},{b},2024-01-{1 + i % 28:02d}"
        for i, (a, b) in enumerate(zip(rng.normal(5, 2, 90), "xyz" * 30, strict=True))
    ]
    (folder / "t.csv").write_text("\n".join(["size,sort,day", *lines]))
    method = {"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"}
    data = {"source": f"csv:{folder / 't.csv'}", "columns": "mixed"}
    run(folder / "run", method, data=data)
    (folder / "t.csv").unlink()
    return unsupjax.load(folder / "run")


@pytest.fixture(scope="module")
def held_out():
    split = open_source("digits").test
    return split.gather(np.arange(len(split)))


def test_it_gives_what_evaluation_saw(of_pictures, held_out):
    folder, results, model = of_pictures
    x, _ = held_out
    judged, state = load_run(folder)
    np.testing.assert_allclose(model.encode(x), judged.method.encode(state, x), atol=1e-6)
    seen = x.astype(np.float32) / 255
    expected = np.square(
        seen - np.asarray(judged.method.decode(state, judged.method.encode(state, x)))
    ).reshape(len(x), -1)
    np.testing.assert_allclose(model.score(x), expected.sum(1), rtol=1e-4)
    np.testing.assert_allclose(model.score(x).sum() / x.size, results["reconstruction_mse"], rtol=1e-5)
    np.testing.assert_array_equal(
        model.reconstruct(x), np.rint(255 * np.asarray(judged.method.decode(state, model.encode(x))))
    )
    np.testing.assert_array_equal(model.decode(model.encode(x)), model.reconstruct(x))


def test_any_number_of_examples_is_one_program(of_pictures, held_out):
    model, x = of_pictures[2], held_out[0]
    whole = model.encode(x)
    compiled = []
    listen = lambda name, seconds, **_: compiled.append(name) if "backend_compile" in name else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    for n in (0, 1, 5, 64, len(x)):
        codes = model.encode(x[:n])
        assert codes.shape == (n, 3) and codes.dtype == np.float32
        np.testing.assert_allclose(codes, whole[:n], atol=1e-6)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled


def test_samples_bounds_and_ways_between(of_pictures, held_out):
    model, x = of_pictures[2], held_out[0][:4]
    drawn = model.sample(70)
    assert drawn.shape == (70, 8, 8, 1) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(model.sample(5), drawn[:5])
    assert (model.sample(5, seed=1) != drawn[:5]).any() and model.sample(0).shape == (0, 8, 8, 1)
    assert model.interpolate(2, 5).shape == (2, 5, 8, 8, 1)
    bound, tighter = model.log_prob(x, samples=1), model.log_prob(x, samples=64)
    assert bound.shape == (4,) and np.isfinite(bound).all() and tighter.mean() > bound.mean()
    np.testing.assert_allclose(model.log_prob(x[:2], samples=64), tighter[:2], rtol=1e-5)


def test_it_has_what_its_method_has(of_pictures, held_out):
    model = of_pictures[2]
    able = {name for name in ABILITIES if hasattr(model, name)}
    assert able == set(model.abilities) == {
        "encode", "decode", "reconstruct", "score", "sample", "interpolate", "log_prob",
    }  # fmt: skip
    assert able <= set(dir(model)) and "assign" not in dir(model)
    with pytest.raises(Unable, match="a model of the method 'vae' has no `assign`; it has encode, decode"):
        model.assign(held_out[0])
    assert "vae of images of shape (8, 8, 1), 10 classes, step 20" in repr(model)
    assert "<td>vae</td>" in model._repr_html_()
    assert model.config.method.latent_dim == 3 and model.class_names == tuple("0123456789")
    assert set(model.params) >= {"encoder", "decoder"} and model.functions.step


def test_steps(of_pictures, held_out):
    folder, _, model = of_pictures
    x = held_out[0][:3]
    earlier = unsupjax.load(folder, step=10)
    assert (model.step, earlier.step) == (20, 10) and (earlier.encode(x) != model.encode(x)).any()
    assert unsupjax.load(folder, step="best").step in (10, 20)
    for step in (15, "newer", "-1"):
        with pytest.raises(UserError, match=r"there are \[10, 20\]"):
            unsupjax.load(folder, step=step)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x[0], r"one picture of shape \(8, 8, 1\); .* give x\[None\]"),
        (lambda x: np.moveaxis(x, 3, 1), "move the channels last"),
        (lambda x: x.astype(np.float32), "pictures are float32 .* where uint8"),
        (lambda x: x.repeat(2, 1), r"shape \(16, 8, 1\), where uint8 \(8, 8, 1\) belong"),
        (lambda x: "photo.png", "pictures are <U9"),
    ],
)
def held_out_of_another_kind_are_refused(of_pictures, held_out, make, message):
    with pytest.raises(UserError, match=message):
        of_pictures[2].encode(make(held_out[0][:4]))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 4)), r"shape \(2, 4\), where numbers \[N, 3\] belong"),
        (np.array([["a"] * 3]), "codes are <U1"),
    ],
)
def test_codes_of_another_width_are_refused(of_pictures, codes, message):
    with pytest.raises(UserError, match=message):
        of_pictures[2].decode(codes)


def test_rows_are_matched_by_name(of_rows):
    rows = {"day": ["2024-01-03", "2024-02-01"], "size": [4.5, 6.0], "sort": ["y", "x"]}
    codes = of_rows.encode(rows)
    np.testing.assert_array_equal(
        codes, of_rows.encode({name: rows[name] for name in ("size", "sort", "day")})
    )
    made = of_rows.reconstruct(rows)
    assert (
        set(made) == {"size", "sort", "day"}
        and made["day"][0].startswith("2024-")
        and made["sort"][0] in "xyz"
    )
    assert of_rows.score(rows).shape == (2,)
    for changed, message in (
        ({"size": rows["size"]}, "the column 'sort' is missing"),
        (rows | {"colour": ["red", "blue"]}, "'colour' is none of the model's"),
        (rows | {"sort": ["y", "w"]}, r"row 1 .* holds 'w', and the column holds one of 'x', 'y', 'z'"),
        (rows | {"size": [1.0]}, "differ in length"),
    ):
        with pytest.raises(UserError, match=message):
            of_rows.encode(changed)
    with pytest.raises(UserError, match="columns by their names belong"):
        of_rows.encode(np.zeros((2, 3)))


def test_frames_come_back_as_frames(of_rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"day": ["2024-01-03"], "sort": ["y"], "size": [4.5]}, index=["a"])
    made = of_rows.reconstruct(frame)
    assert list(made.columns) == ["day", "sort", "size"] and list(made.index) == ["a"]


def test_a_map(tmp_path, few_panels, held_out):
    run(tmp_path / "run", {"name": "som", "height": 3, "width": 4})
    model, x = unsupjax.load(tmp_path / "run"), held_out[0]
    units = model.prototypes()
    assert units.shape == (12, 8, 8, 1) and units.dtype == np.uint8
    places = model.map(x)
    np.testing.assert_array_equal(places @ [4, 1], model.assign(x))
    assert set(model.abilities) >= {"assign", "map", "prototypes", "score"}
    nearest = np.square(x[:, None] / 255 - units[None] / 255).sum((2, 3, 4))
    assert (nearest.argmin(1) == model.assign(x)).mean() > 0.98  # the units' pixels are rounded


def test_figures(of_pictures, held_out):
    model, (x, y) = of_pictures[2], held_out
    for name, labels in (("reconstructions", None), ("pca", y), ("samples", None), ("learning_curves", None)):
        figure = model.figure(name, x[:40], None if labels is None else labels[:40])
        assert figure.axes
    named = model.figure("pca", x[:40], [str(label) for label in y[:40]])
    assert named.axes
    with pytest.raises(UserError, match="did you mean 'samples'"):
        model.figure("sample", x)
    with pytest.raises(UserError, match="label 'ten' is no class"):
        model.figure("pca", x[:2], ["1", "ten"])
    with pytest.raises(UserError, match="labels are of shape"):
        model.figure("pca", x[:2], [1])


def test_what_is_no_run_is_refused(of_pictures, tmp_path):
    with pytest.raises(UserError, match="no run there"):
        unsupjax.load(tmp_path)
    half = tmp_path / "half"
    shutil.copytree(of_pictures[0], half)
    shutil.rmtree(half / "checkpoints")
    with pytest.raises(UserError, match="has no whole checkpoint"):
        unsupjax.load(half)
    (half / "model.json").unlink()
    with pytest.raises(UserError, match=r"model.json is missing: copy it"):
        unsupjax.load(half)
    other = tmp_path / "other"
    shutil.copytree(of_pictures[0], other)
    described = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(described | {"class_names": list("abcdefghij")}))
    with pytest.raises(UserError, match="is not the one that the checkpoints there were written with"):
        unsupjax.load(other)


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(of_pictures, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(of_pictures[0], folder)
    for path in (folder / "checkpoints" / "20").rglob("*"):
        if path.is_file() and "sealed" in str(path):
            path.write_bytes(b"")
    with pytest.warns(UserWarning, match="checkpoint 20 is damaged"):
        assert unsupjax.load(folder).step == 10
    with pytest.raises(UserError, match=r"none of the checkpoints \[20\]"):
        unsupjax.load(folder, step=20)


def test_nothing_in_the_folder_is_touched(of_pictures, held_out):
    folder = of_pictures[0]
    look = lambda: {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}
    before = look()
    unsupjax.load(folder).encode(held_out[0])
    assert look() == before
