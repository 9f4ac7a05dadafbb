"""Fine-tuning: one step against numpy, what is and is not trained, and how an epoch is chosen."""

import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.errors import UserError
from unsupjax.evaluate import fine_tune


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


def test_one_full_batch_step_is_that_of_numpy(subject):
    # From W = 0 every class has probability 1/3, and the step gives W = rate * z^T (y - 1/3) / N.
    target = np.eye(3)[np.searchsorted([2, 5, 9], subject.y_train)] - 1 / 3
    kernel, bias = subject.z_train.T @ target / 90, target.mean(axis=0)
    logits = 10.0 * (subject.z_test @ kernel + bias)
    accuracy = np.mean(np.array([2, 5, 9])[logits.argmax(axis=1)] == subject.y_test)
    settings = {
        "epochs": 1,
        "batch_size": 1000,
        "learning_rate": 10.0,
        "optimizer": "sgd",
        "schedule": "constant",
    }
    assert fine_tune(subject, **settings, freeze=True)["fine_tune_accuracy"] == pytest.approx(accuracy)
    assert 0.4 < accuracy < 0.999


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
        ({"validation": 90}, r"validation=90 in \[0, 90\)"),
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
