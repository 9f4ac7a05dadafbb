"""Fine-tuning: one step against numpy, what is and is not trained, and how an epoch is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.evaluate import fine_tune
from unsupjax.evaluate.representation.labelled import stratified


@pytest.fixture(scope="module")
def blind(subject):
    """Inputs `[class signal, noise]`, and an encoder that starts by reading the noise alone."""
    rng = np.random.default_rng(0)

    def inputs(y):
        return np.stack([y + rng.normal(0, 0.3, len(y)), rng.normal(size=len(y))], axis=1).astype(np.float32)

    y_train, y_test = np.arange(120) % 2 * 2 - 1, np.arange(200) % 2 * 2 - 1
    x_train, x_test = inputs(y_train), inputs(y_test)
    kernel = np.array([[0.0], [1.0]], np.float32)
    return subject._replace(
        method=subject.method._replace(encode=lambda state, x: x @ state.params),
        state=subject.state._replace(params=jnp.asarray(kernel)),
        **{"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test},
        **{"z_train": x_train @ kernel, "z_test": x_test @ kernel},
    )


def test_the_encoder_is_trained_unless_it_is_frozen(blind):
    before = np.asarray(blind.state.params).copy()
    settings = {"epochs": 15, "batch_size": 20, "learning_rate": 0.05}
    tuned = fine_tune(blind, **settings)
    assert tuned["fine_tune_accuracy"] > 0.95
    assert tuned["fine_tune_error"] == pytest.approx(1 - tuned["fine_tune_accuracy"])
    assert tuned["fine_tune_epoch"] == 15
    assert fine_tune(blind, **settings, freeze=True)["fine_tune_accuracy"] < 0.7
    np.testing.assert_array_equal(blind.state.params, before)
    assert fine_tune(blind, **settings) == tuned


@pytest.mark.parametrize(("fraction", "steps", "suffix"), [(1.0, 1, ""), (0.3, 2, "_0.3")])
def test_full_batch_steps_are_those_of_numpy(subject, fraction, steps, suffix):
    """From W = 0, on as many of each class as the fraction says; fewer examples are seen more often."""
    order = np.asarray(jax.random.permutation(subject.key, 90))
    rows = [i for label in (2, 5, 9) for i in order[subject.y_train[order] == label][: round(30 * fraction)]]
    z = np.concatenate([subject.z_train, np.ones((90, 1))], axis=1)[rows]
    target, weights = np.eye(3)[np.searchsorted([2, 5, 9], subject.y_train[rows])], np.zeros((4, 3))
    for _ in range(steps):
        p = np.exp(z @ weights)
        weights += 10.0 * z.T @ (target - p / p.sum(axis=1, keepdims=True)) / len(rows)
    logits = subject.z_test @ weights[:3] + weights[3]
    accuracy = np.mean(np.array([2, 5, 9])[logits.argmax(axis=1)] == subject.y_test)
    settings = {"batch_size": 1000, "learning_rate": 10.0, "optimizer": "sgd", "schedule": "constant"}
    scores = fine_tune(subject, **settings, momentum=0.0, epochs=1, freeze=True, fractions=(fraction,))
    assert scores == {
        f"fine_tune_accuracy{suffix}": pytest.approx(accuracy),
        f"fine_tune_error{suffix}": pytest.approx(1 - accuracy),
        f"fine_tune_epoch{suffix}": steps,
    }
    assert 0.4 < accuracy < 0.999


def test_fractions_are_trained_one_by_one_on_their_labels_alone(blind):
    settings = {"epochs": 4, "batch_size": 20, "learning_rate": 0.05}
    whole = fine_tune(blind, **settings)
    both = fine_tune(blind, **settings, fractions=(0.01, 1.0))
    assert {name: both[name] for name in whole} == whole
    assert both["fine_tune_epoch_0.01"] == 40
    few = stratified(np.asarray(jax.random.permutation(blind.key, 120)), blind.y_train, 0.01)
    seen = np.isin(np.arange(120), few)[:, None]
    assert seen.sum() == 2
    poisoned = blind._replace(x_train=np.where(seen, blind.x_train, np.nan))
    scores = fine_tune(poisoned, **settings, fractions=(0.01,))
    assert scores == {name: both[name] for name in both if name.endswith("_0.01")}


def test_a_stratified_part_has_each_class_in_proportion_and_is_nested():
    y = np.repeat([4, 1, 7], [100, 20, 2])
    order = np.random.default_rng(0).permutation(122)
    parts = {f: stratified(order, y, f) for f in (0.01, 0.1, 0.5, 1.0)}
    counts = {f: [int(np.sum(y[rows] == label)) for label in (4, 1, 7)] for f, rows in parts.items()}
    assert counts == {0.01: [1, 1, 1], 0.1: [10, 2, 1], 0.5: [50, 10, 1], 1.0: [100, 20, 2]}
    np.testing.assert_array_equal(parts[1.0], order)
    for small, large in ((0.01, 0.1), (0.1, 0.5)):
        assert set(parts[small]) < set(parts[large])
    places = [int(np.flatnonzero(order == i)[0]) for i in parts[0.5]]
    assert places == sorted(places)
    first = [order[y[order] == label][0] for label in (4, 1, 7)]
    assert set(parts[0.01]) == set(first)


def test_a_number_of_examples_is_met_whatever_the_classes():
    y = np.repeat([4, 1, 7], [100, 20, 2])
    order = np.random.default_rng(0).permutation(122)
    parts = {n: stratified(order, y, n) for n in (3, 12, 61, 121, 122)}
    for n, rows in parts.items():
        counts = np.array([np.sum(y[rows] == label) for label in (4, 1, 7)])
        assert counts.sum() == len(set(rows)) == n and counts.min() >= 1
        assert np.abs(counts - n * np.array([100, 20, 2]) / 122).max() <= 1.5
    assert set(parts[3]) < set(parts[12]) < set(parts[61]) < set(parts[121])
    assert set(parts[61]) == set(stratified(order, y, 0.5)), "a number of examples is that fraction of them"


def test_numbers_of_examples_are_fractions_of_them(blind):
    settings = {"epochs": 4, "batch_size": 20, "learning_rate": 0.05}
    scores = fine_tune(blind, **settings, fractions=(30, 0.25))
    assert scores["fine_tune_epoch_30"] == 8
    for name in ("accuracy", "error", "epoch"):
        assert scores[f"fine_tune_{name}_30"] == scores[f"fine_tune_{name}_0.25"]
    assert fine_tune(blind, **settings, fractions=(120, 1.0)).keys() == {
        f"fine_tune_{name}{suffix}" for name in ("accuracy", "error", "epoch") for suffix in ("", "_120")
    }


def test_the_twin_from_scratch_is_a_training_of_a_state_that_init_made(blind):
    """On the same examples; the trained State and its codes say nothing of it."""
    settings = {"epochs": 3, "batch_size": 20, "learning_rate": 0.02, "fractions": (30,)}

    def init(key, batch):
        assert batch.shape == (7, 2)
        return blind.state._replace(params=jax.random.normal(key, (2, 1)))

    twins = blind._replace(method=blind.method._replace(init=init), init_batch=blind.x_train[:7])
    both = fine_tune(twins, **settings, from_scratch=True)
    plain = fine_tune(twins, **settings)
    assert {name: both[name] for name in plain} == plain
    fresh = init(jax.random.fold_in(blind.key, 3), blind.x_train[:7])
    alone = fine_tune(blind._replace(state=fresh), **settings)
    twin = {name.replace("from_scratch", "fine_tune"): both[name] for name in both.keys() - plain.keys()}
    assert twin == alone and twin["fine_tune_accuracy_30"] != plain["fine_tune_accuracy_30"]
    other = twins._replace(state=blind.state._replace(params=jnp.ones((2, 1))))
    again = fine_tune(other, **settings, from_scratch=True)
    assert {name: again[name] for name in both.keys() - plain.keys()} == {
        name: both[name] for name in both.keys() - plain.keys()
    }


def test_the_chosen_epoch_depends_on_held_out_training_examples_alone(blind):
    settings = {"epochs": 12, "batch_size": 20, "learning_rate": 0.1, "validation": 40}
    scores = fine_tune(blind, **settings)
    assert 1 <= scores["fine_tune_epoch"] <= 12 and scores["fine_tune_accuracy"] > 0.9
    flipped = fine_tune(blind._replace(y_test=-blind.y_test), **settings)
    assert flipped["fine_tune_epoch"] == scores["fine_tune_epoch"]
    assert flipped["fine_tune_error"] == pytest.approx(scores["fine_tune_accuracy"])
    # Where no epoch is better than the first, the first is taken.
    still = fine_tune(blind, **{**settings, "learning_rate": 0.0})
    assert still["fine_tune_epoch"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"schedule": "step"}, "schedule='step' is unknown"),
        ({"validation": 90}, r"validation=90 must be in \[0, 90\)"),
        ({"validation": 9, "fractions": (1.0, 0.1)}, r"validation=9 must be in \[0, 9\)"),
        ({"fractions": (0.1, 0.0)}, r"fractions: 0.0 must be in \(0, 1\], or a number .* from 3, .* to 90"),
        ({"fractions": (2,)}, "fractions: 2 must be"),
        ({"fractions": (91,)}, "fractions: 91 must be"),
        ({"fractions": (4.5,)}, "fractions: 4.5 must be"),
        ({"fractions": (float("nan"),)}, "fractions: nan must be"),
        ({"fractions": ()}, r"fractions is empty"),
        ({"epochs": 0}, "epochs=0"),
        ({"optimizer": "sgd", "learning_rate": float("inf"), "epochs": 3}, "not finite; lower learning_rate"),
    ],
)
def test_settings_out_of_range_are_refused(subject, settings, message):
    with pytest.raises(UserError, match=message):
        fine_tune(subject, **settings)


def test_a_state_without_parameters_is_refused(subject):
    with pytest.raises(UserError, match="'fine_tune' needs a State with `params`"):
        fine_tune(subject._replace(state=()))
