"""What samples are worth as training data: of generators that are as good as the data, and as bad as noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.kinds import Images
from unsupjax.errors import UserError
from unsupjax.evaluate import JUDGES, Facts, Subject, train_on_samples
from unsupjax.evaluate.synthesis.generation import drawn, drawn_classes
from unsupjax.methods.base import Method, Wants

COUNTS = {"n": 600, "per_class": 2, "steps": 100}


def judged(sample, labels=3):
    """Three overlapping Gaussians in 5 dimensions, and a method of that `sample(state, key, n)`."""
    rng = np.random.default_rng(0)
    centers = 1.5 * rng.normal(size=(3, 5))
    rows = lambda y: (centers[y] + rng.normal(0, 1.5, (len(y), 5))).astype(np.float32)
    y_train, y_test = np.arange(600) % 3, np.arange(300) % 3
    x_train, x_test = rows(y_train), rows(y_test)
    method = Method(None, None, None, sample=sample, wants=Wants(labels=labels))
    none = np.zeros((0, 0), np.float32)
    data = (x_train, y_train, x_test, y_test)
    return Subject(method, jnp.asarray(x_train), jax.random.key(0), *data, none, none, None)


def faithful(state, key, n):
    """Training examples of class i mod 3."""
    first = 3 * jax.random.randint(key, (), 0, 1000)
    return state[(first + jnp.arange(n)) % 600]


def noise(state, key, n):
    return jax.random.normal(key, (n, 5)) * state.std()


@pytest.mark.thorough
def test_samples_as_good_as_the_data_do_as_well_and_noise_does_not_help():
    good, bad = (train_on_samples(judged(sample), **COUNTS) for sample in (faithful, noise))
    names = {"train_on_samples", "train_on_real", "few_real", "few_real_and_samples"}
    assert set(good) == {f"{n}_accuracy{end}" for n in names for end in ("", "_std")}
    assert good["train_on_real_accuracy"] > 0.7
    assert good["train_on_samples_accuracy"] == pytest.approx(good["train_on_real_accuracy"], abs=0.03)
    assert good["few_real_and_samples_accuracy"] > good["few_real_accuracy"] + 0.03
    assert bad["train_on_samples_accuracy"] < 0.45
    assert bad["few_real_and_samples_accuracy"] < bad["few_real_accuracy"]
    assert bad["few_real_accuracy"] == good["few_real_accuracy"] and good["few_real_accuracy_std"] > 0


def test_the_classes_of_samples_are_those_of_their_places_in_batches():
    """Samples are drawn in batches of 500, which 3 does not divide."""
    classes = lambda state, key, n: jnp.tile((jnp.arange(n) % 3)[:, None], (1, 5)).astype(jnp.float32)
    for n in (7, 500, 1201):
        samples = drawn(judged(classes), n, "here")
        np.testing.assert_array_equal(samples[:, 0], drawn_classes(n, 3))


def test_what_is_refused():
    judge, facts = JUDGES["train_on_samples"], Facts(Images((4, 4, 1)), 90, 45, None, None, ("a", "b"))
    plain = judged(noise, labels=0)
    with pytest.raises(UserError, match=r"a model of classes, .* set config\.method\.labels to the number"):
        judge.refuse("train_on_samples", COUNTS, plain.method, facts)
    with pytest.raises(UserError, match="a model of classes"):
        train_on_samples(plain)
    judge.refuse("train_on_samples", COUNTS, judged(noise).method, facts)
    for name in COUNTS:
        with pytest.raises(UserError, match=rf"train_on_samples\.{name}=0 must be at least 1"):
            judge.refuse("train_on_samples", COUNTS | {name: 0}, judged(noise).method, facts)
    holed = judged(noise)
    holed.x_train[:, 0] = np.nan
    with pytest.raises(UserError, match="missing entries; fill them in"):
        train_on_samples(holed, **COUNTS)
