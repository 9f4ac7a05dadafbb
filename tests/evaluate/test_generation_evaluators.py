"""Evaluators of samples, and the reference encoders that they look through: on generators whose faults are known."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import arrays
from unsupjax import generation as measures
from unsupjax.commands import export as exports
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.evaluate import Subject, class_balance, generation, memorisation, modes
from unsupjax.evaluate.synthesis import reference
from unsupjax.evaluate.synthesis.generation import drawn
from unsupjax.methods.base import Method
from unsupjax.run import experiment as experiments
from unsupjax.run.plan import resolve

CENTERS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
SECTION = {"name": "cnn", "features": (4, 6), "norm_momentum": 0.5}


def mixture(key, n, classes=3):
    y = jax.random.randint(jax.random.fold_in(key, 1), (n,), 0, classes)
    return jnp.asarray(CENTERS, jnp.float32)[y] + 0.5 * jax.random.normal(key, (n, 2))


def judged(sample, x_train, y_train, x_test, y_test, state=0.0):
    method = Method(None, None, None, sample=sample)
    empty = np.zeros((0, 0), np.float32)
    data = (np.asarray(a) for a in (x_train, y_train, x_test, y_test))
    return Subject(method, jnp.asarray(state), jax.random.key(9), *data, empty, empty, None)


@pytest.fixture(scope="module")
def subject():
    """Three Gaussians in the plane, sampled without fault, and moved by `state`."""
    rng = np.random.default_rng(0)
    y_train, y_test = (rng.integers(3, size=n) for n in (600, 500))
    x_train, x_test = (
        (CENTERS[y] + rng.normal(0, 0.5, (len(y), 2))).astype(np.float32) for y in (y_train, y_test)
    )
    return judged(lambda state, key, n: mixture(key, n) + state, x_train, y_train, x_test, y_test)


def plain(results):
    """Results without the encoder's name, which all but the count must carry."""
    ends = {re.sub(r"^.*?_((inputs|tiny|digits)_[0-9a-f]{8})$", r"\1", name) for name in results}
    ends -= {"generation_examples"}
    assert len(ends) == 1 and re.fullmatch(r"(inputs|tiny|digits)_[0-9a-f]{8}", *ends), results
    assert all(isinstance(value, float) for value in results.values())
    return {name.removesuffix(f"_{min(ends)}"): value for name, value in results.items()}


def test_a_perfect_generator_is_at_the_floor(subject):
    results = generation(subject)
    found = plain(results)
    pairs = ("frechet", "kid", "sliced_wasserstein", "c2st_auc")
    assert set(found) == {
        *pairs,
        *(f"{name}_real" for name in pairs),
        *("frechet_noise", "kid_noise", "precision", "recall", "density", "coverage", "generation_examples"),
    }
    assert found["generation_examples"] == 500
    assert found["frechet"] < 0.1 and found["frechet_real"] < 0.1
    assert found["c2st_auc"] == pytest.approx(0.5, abs=0.06)
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.9
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["kid_noise"] > 10 * max(abs(found["kid"]), abs(found["kid_real"]))
    assert generation(subject) == results


def test_a_generator_that_is_off_is_told_so_and_the_floor_is_not(subject):
    found = plain(generation(subject._replace(state=jnp.asarray(30.0)), n=300))
    assert found["generation_examples"] == 300
    assert found["frechet"] == pytest.approx(2 * 30**2, rel=0.05)
    assert found["sliced_wasserstein"] == pytest.approx(30, rel=0.05)
    assert found["precision"] == found["recall"] == found["density"] == found["coverage"] == 0
    assert found["c2st_auc"] == pytest.approx(1) and found["kid"] > 1e3
    assert (
        found["c2st_auc_real"] < 0.6
        and found["frechet_real"] < 0.1
        and found["sliced_wasserstein_real"] < 0.5
    )


def test_the_floor_is_of_training_and_the_ceiling_of_noise_against_test_examples(subject):
    x_train = subject.x_train[:500] * 1.5
    found = plain(generation(subject._replace(x_train=x_train)))
    assert found["frechet_real"] == pytest.approx(
        measures.frechet_distance(x_train, subject.x_test), rel=1e-9
    )
    assert found["kid_real"] == pytest.approx(measures.kernel_distance(x_train, subject.x_test), rel=1e-9)
    # Features that are independent, so that noise with their moments is as good as they are.
    normal = np.random.default_rng(0).normal([5, 0], [1, 9], (2, 500, 2)).astype(np.float32)
    gaussian = subject._replace(x_train=normal[0], x_test=normal[1])
    assert plain(generation(gaussian))["frechet_noise"] < 1


def test_noise_has_the_moments_of_each_element_and_stays_within_its_range(subject, monkeypatch):
    seen = []

    def encode(x):
        seen.append(x)
        return np.asarray(x, np.float32)

    monkeypatch.setattr(reference, "load", lambda name: reference.Reference("inputs", "0" * 64, None, encode))
    x = np.random.default_rng(0).uniform([0, 5], [1, 25], (500, 2)).astype(np.float32)
    generation(subject._replace(x_train=x))
    [noise] = [z for z in seen if z[:, 1].min() == x[:, 1].min() and z is not x and not np.isin(z, x).all()]
    assert (noise.min(axis=0) == x.min(axis=0)).all() and (noise.max(axis=0) == x.max(axis=0)).all()
    np.testing.assert_allclose(noise.mean(axis=0), x.mean(axis=0), rtol=0.1)
    np.testing.assert_allclose(noise.std(axis=0), x.std(axis=0), rtol=0.15)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.2


def test_images_have_no_sliced_wasserstein(subject):
    images = lambda x: np.asarray(x)[:60].reshape(-1, 2, 1, 1)
    sample = lambda state, key, n: mixture(key, n).reshape(-1, 2, 1, 1)
    found = generation(judged(sample, images(subject.x_train), None, images(subject.x_test), None))
    assert plain(found)["generation_examples"] == 60 and not any("wasserstein" in name for name in found)


def test_samples_come_in_batches_of_one_shape_and_all_differ(subject):
    shapes = []

    def sample(state, key, n):
        shapes.append(n)
        return mixture(key, n) + state

    counted = subject._replace(method=subject.method._replace(sample=sample))
    x = drawn(counted, 1203, "generation")
    assert shapes == [500] and x.shape == (1203, 2) and x.dtype == np.float32
    assert len(np.unique(x, axis=0)) == 1203
    np.testing.assert_array_equal(x, drawn(subject, 1203, "modes"))
    assert drawn(subject, 3, "modes").shape == (3, 2)


def test_samples_that_cannot_be_judged_are_refused(subject):
    def with_sample(sample):
        return subject._replace(method=subject.method._replace(sample=sample))

    for evaluator in (generation, modes, memorisation, class_balance):
        name = evaluator.__name__
        with pytest.raises(UserError, match=rf"'{name}' needs a method with `sample`"):
            evaluator(with_sample(None))
        diverged = with_sample(lambda state, key, n: jnp.full((n, 2), jnp.nan).at[0].set(0))
        with pytest.raises(UserError, match=rf"{name}: 499 of 500 samples are not finite.*diverged"):
            evaluator(diverged, n=500) if name != "generation" else evaluator(diverged)
        with pytest.raises(UserError, match=r"samples are \(3,\), and inputs \(2,\)"):
            evaluator(with_sample(lambda state, key, n: jnp.zeros((n, 3))))
    for n, neighbours in ((5, 5), (3, 1), (100, 0)):
        with pytest.raises(UserError, match=f"{neighbours=} must be positive, and {n} examples at least"):
            generation(subject, n=n, neighbours=neighbours)
    with pytest.raises(UserError, match="n=0 must be at least 1"):
        modes(subject, n=0)


def test_modes_are_the_classes(subject):
    found = modes(subject, n=3000)
    assert found["modes_covered"] == found["modes_total"] == 3
    ideal = 1 - np.exp(-9 / 2)
    assert found["modes_high_quality_ideal"] == pytest.approx(ideal)
    assert found["modes_high_quality"] == pytest.approx(ideal, abs=0.01)
    assert found["modes_high_quality_real"] == pytest.approx(ideal, abs=0.02)
    assert found["modes_kl"] < 0.01
    assert modes(subject, n=3000, deviations=1.0)["modes_high_quality"] == pytest.approx(
        1 - np.exp(-1 / 2), abs=0.04
    )


def test_lost_modes_are_noticed(subject):
    two = subject.method._replace(sample=lambda state, key, n: mixture(key, n, classes=2))
    lost = subject._replace(method=two)
    found = modes(lost, n=2000)
    assert found["modes_covered"] == 2 and found["modes_kl"] == pytest.approx(np.log(3 / 2), abs=0.01)
    balance = plain(class_balance(lost, n=2000))
    assert balance["class_balance_smallest"] == 0 and balance["class_balance_accuracy"] > 0.98
    assert balance["class_balance_largest"] == pytest.approx(1.5, abs=0.08)
    assert balance["class_balance_kl"] == pytest.approx(np.log(3 / 2), abs=0.01)
    near = plain(generation(lost))
    assert (
        near["precision"] > 0.9
        and near["coverage"] == pytest.approx(2 / 3, abs=0.1)
        and near["recall"] < 0.75
    )
    same = np.repeat(CENTERS, 5, axis=0)
    with pytest.raises(UserError, match="classes that spread"):
        modes(subject._replace(x_train=same, y_train=np.arange(15) // 5))


def test_a_balanced_generator_is_balanced_whatever_the_labels_are_called(subject):
    names = np.array([2, 5, 9])
    renamed = subject._replace(y_train=names[subject.y_train], y_test=names[subject.y_test])
    found = plain(class_balance(renamed, n=3000, examples=300))
    assert found["class_balance_accuracy"] > 0.98 and found["class_balance_kl"] < 0.01
    assert 0.85 < found["class_balance_smallest"] <= 1 <= found["class_balance_largest"] < 1.15
    assert found == plain(class_balance(subject, n=3000, examples=300))


def test_a_generator_that_copies_is_caught(subject):
    found = plain(memorisation(subject, n=2000))
    assert found["memorisation_ratio"] == pytest.approx(1, abs=0.2) and found["memorisation_share"] < 0.04
    pick = lambda state, key, n: state[jax.random.randint(key, (n,), 0, len(state))]
    copier = judged(pick, subject.x_train, None, subject.x_test, None, state=subject.x_train)
    assert plain(memorisation(copier)) == {"memorisation_ratio": 0, "memorisation_share": 1}
    with pytest.raises(UserError, match=r"most held-out rows are training rows.*take 'memorisation' out"):
        memorisation(subject._replace(x_test=subject.x_train))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny encoder with statistics far from where they start, and the file that holds it."""
    module = reference.network(SECTION)
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    moved = jax.tree.map(lambda a: a / 4 + jnp.arange(a.size).reshape(a.shape) / 32, variables["batch_stats"])
    variables = {"params": variables["params"], "batch_stats": moved}
    path = tmp_path_factory.mktemp("encoders") / "tiny.npz"
    saved = reference.save(path, SECTION, variables, shape=(8, 8, 1))
    return path, module, variables, saved


def test_an_encoder_comes_back_as_it_was_saved(tiny, digits):
    path, module, variables, saved = tiny
    loaded = reference.load(str(path))
    assert loaded.name == "tiny" and loaded.digest == saved.digest and len(loaded.digest) == 64
    assert loaded.label == f"tiny_{loaded.digest[:8]}"
    halved = jax.tree.map(lambda a: a.astype(jnp.float16).astype(jnp.float32), variables)
    expected = module.apply(halved, digits[:700], train=False)
    z = loaded.encode(digits[:700])
    assert z.shape == (700, 6) and z.dtype == np.float32 and z.std() > 0.01
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loaded.encode(digits[650:660]), z[650:660], rtol=1e-5, atol=1e-6)


def test_the_digest_is_of_weights_and_network_and_not_of_the_file(tiny, tmp_path):
    _, _, variables, saved = tiny
    again = lambda section, v, shape=(8, 8, 1): (
        reference.save(tmp_path / "b.npz", section, v, shape=shape).digest
    )
    assert again(SECTION, variables) == saved.digest
    assert again(SECTION | {"features": [4, 6]}, variables) == saved.digest  # a list, as JSON has it
    changed = jax.tree.map(lambda a: a, variables)
    changed["params"]["Conv_0"]["kernel"] = variables["params"]["Conv_0"]["kernel"].at[0, 0, 0, 0].add(0.01)
    others = {
        again(SECTION, changed),
        again(SECTION | {"norm_momentum": 0.6}, variables),
        again(SECTION, variables, (9, 9, 1)),
        saved.digest,
        reference.load("inputs").digest,
    }
    assert len(others) == 5


def test_inputs_are_an_encoder(digits):
    inputs = reference.load("inputs")
    np.testing.assert_array_equal(inputs.encode(digits[:5]), digits[:5].reshape(5, 64))
    assert re.fullmatch("inputs_[0-9a-f]{8}", inputs.label)


def test_wrong_encoders_are_one_line(tiny, tmp_path, digits):
    path, _, variables, saved = tiny
    for name, message in (
        ("digit", "the encoder 'digit' is unknown; did you mean 'digits'.*'inputs'.*path of an .npz"),
        (str(tmp_path / "no.npz"), "is no file"),
    ):
        with pytest.raises(UserError, match=message):
            reference.load(name)
    with pytest.raises(
        UserError, match=r"'tiny' takes inputs of shape \(8, 8, 1\), and these are \(9, 8, 1\)"
    ):
        saved.encode(np.zeros((2, 9, 8, 1), np.float32))
    kept, description = arrays.load(path)
    damaged = tmp_path / "damaged.npz"
    key = "params/Conv_1/kernel"
    flipped = kept[key].copy()
    flipped.view(np.uint16)[0, 0, 0, 0] ^= 1
    arrays.save(damaged, kept | {key: flipped}, description)
    with pytest.raises(UserError, match=r"damaged.npz is damaged: its network and weights"):
        reference.load(str(damaged))
    arrays.save(damaged, kept, description | {"network": {"name": "cnn", "features": [4, 5]}})
    with pytest.raises(UserError, match="is damaged"):
        reference.load(str(damaged))
    arrays.save(damaged, kept)
    with pytest.raises(UserError, match="holds no encoder"):
        reference.load(str(damaged))
    damaged.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="is damaged"):
        reference.load(str(damaged))
    for section, v, name, message in (
        (
            SECTION,
            jax.tree.map(lambda a: a * 1e6, variables),
            "c.npz",
            "batch_stats/.* too large for float16",
        ),
        ({"name": "cnm"}, variables, "c.npz", "='cnm' is unknown; did you mean 'cnn'"),
        (SECTION | {"feature": 3}, variables, "c.npz", "unexpected keyword argument 'feature'"),
        (SECTION, variables, "c.txt", "must end in .npz"),
    ):
        with pytest.raises(UserError, match=message):
            reference.save(tmp_path / name, section, v, shape=(8, 8, 1))
    assert not (tmp_path / "c.npz").exists()


def test_evaluators_take_an_encoder_by_name_or_path(tiny, digits):
    path = str(tiny[0])
    sample = lambda state, key, n: jax.random.choice(key, state, (n,)) * 0.9
    of_images = judged(
        sample, digits[:300], np.arange(300) % 2, digits[300:420], np.arange(120) % 2, digits[:300]
    )
    for evaluator in (generation, memorisation, class_balance):
        found = evaluator(of_images, encoder=path, **({} if evaluator is generation else {"n": 200}))
        assert plain(found) and all(
            f"_{tiny[3].label}" in name for name in found if name != "generation_examples"
        )
    with pytest.raises(UserError, match=r"'mnist' takes inputs of shape \(28, 28, 1\)"):
        generation(of_images, encoder="mnist")


SHAPES = {"cifar10": ((32, 32, 3), 128), "digits": ((8, 8, 1), 128), "mnist": ((28, 28, 1), 128)}


def test_packaged_encoders_are_whole():
    assert {p.stem for p in reference.FOLDER.glob("*.npz")} >= set(SHAPES)
    for name, (shape, _) in SHAPES.items():
        packaged = reference.load(name)  # which checks the digest
        assert packaged.name == name
        with pytest.raises(UserError, match=re.escape(f"takes inputs of shape {shape}")):
            packaged.encode(np.zeros((1, 5, 5, 2)))


def test_the_packaged_encoder_of_digits_sees_digits(digits):
    """Examples that are blended lie well between floor and ceiling."""
    x = np.random.default_rng(0).permutation(digits)
    mixed = lambda state, key, n: 0.8 * state[:n] + 0.2 * state[n : 2 * n]
    found = plain(generation(judged(mixed, x[:900], None, x[900:1200], None, x[:900]), encoder="digits"))
    assert found["generation_examples"] == 300
    assert 1.2 * found["frechet_real"] < found["frechet"] < found["frechet_noise"] / 2
    assert 3 * abs(found["kid_real"]) < found["kid"] < found["kid_noise"] / 2


VECTORS = {"name": "mlp", "features": (6,)}
RUN = {
    "data": {"source": "digits", "examples": 100},
    "train": {"batch_size": 32, "steps": 1},
    "evaluate": {"run": ()},
}
HEADED = {"projector": {"name": "mlp", "features": (4,)}, "augment": {"name": "glyphs"}}


def test_the_encoder_of_a_run_is_exported(tmp_path, monkeypatch, capsys):
    prepared = experiments.prepare(
        resolve(experiment(method={"name": "simclr"}, encoder=VECTORS, **HEADED, **RUN))
    )
    state = prepared.init()
    monkeypatch.setattr(exports, "load", lambda folder: (prepared, state))
    exports.run("export", ["run", str(tmp_path / "mine.npz"), "--format=reference"])
    loaded = reference.load(str(tmp_path / "mine.npz"))
    assert loaded.label in capsys.readouterr().out
    x = np.asarray(prepared.source.test[0][0])[None].astype(np.float32) / 255
    np.testing.assert_allclose(loaded.encode(x), prepared.method.encode(state, x), rtol=1e-2, atol=1e-2)
    other = prepared.method._replace(encode=lambda state, x: 1.1 * prepared.method.encode(state, x))
    monkeypatch.setattr(exports, "load", lambda folder: (prepared._replace(method=other), state))
    with pytest.raises(UserError, match="'simclr' represents by more than its encoder"):
        exports.export("run", tmp_path / "other.npz")


def test_a_run_that_represents_by_more_than_its_encoder_is_refused(tmp_path, monkeypatch):
    config = experiment(method={"name": "autoencoder"}, encoder=VECTORS, decoder=VECTORS, **RUN)
    prepared = experiments.prepare(resolve(config))
    monkeypatch.setattr(exports, "load", lambda folder: (prepared, prepared.init()))
    with pytest.raises(UserError, match="'autoencoder' represents by more than its encoder"):
        exports.export("run", tmp_path / "mine.npz")
    monkeypatch.setattr(exports, "load", lambda folder: (prepared, 0.0))
    with pytest.raises(UserError, match="'autoencoder' has no encoder to export"):
        exports.export("run", tmp_path / "mine.npz")
    monkeypatch.undo()
    with pytest.raises(UserError, match="no run there"):
        exports.run("export", [str(tmp_path / "none"), "mine.npz", "--format=reference"])
    assert not shutil.os.listdir(tmp_path)
