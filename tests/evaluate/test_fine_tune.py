"""Fine-tuning: one step against numpy, what is and is not trained, and how an epoch is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.evaluate import fine_tune
from unsupjax.evaluate.representation.fine_tune import stratified


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
        ({"fractions": (0.1, 0.0)}, r"fractions=\(0.1, 0.0\) in \(0, 1\]"),
        ({"fractions": ()}, r"fractions=\(\) in"),
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
