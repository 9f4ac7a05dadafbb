"""What is predicted of hidden parts: its error against a loop, the picture of it, and what several labels give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES, JUDGES, completion, completions, label_efficiency
from unsupjax.evaluate.figures.labels import points
from unsupjax.methods.base import Filled


@pytest.fixture
def many(subject):
    """More examples than go through together, and a method that says what it was told."""

    def fill(state, key, x):
        filled = subject.method.fill(state, key, x)
        return filled._replace(told=jnp.full_like(x, 0.5))

    x = np.random.default_rng(3).uniform(size=(300, 4, 4, 1)).astype(np.float32)
    return subject._replace(x_test=x, method=subject.method._replace(fill=fill))


def test_errors_are_those_of_a_loop_over_hidden_entries(many):
    mean, errors = many.x_train.mean(0, dtype=np.float64), []
    for i, x in enumerate(many.x_test):
        hidden, filled, _ = many.method.fill(None, jax.random.fold_in(many.key, i), x[None])
        hidden, filled = np.asarray(hidden[0]), np.asarray(filled[0], np.float64)
        guesses = (filled, np.full_like(x, x[~hidden].mean()), mean, np.full_like(x, 0.5))
        errors.append([np.mean((x[hidden] - guess[hidden]) ** 2) for guess in guesses])
    names = ("masked_mse", "masked_visible_mean_mse", "masked_train_mean_mse", "masked_told_mse")
    expected = dict(zip(names, np.mean(errors, axis=0), strict=True))
    assert completion(many) == pytest.approx(expected, rel=1e-5)


def test_a_perfect_prediction_has_no_error_and_one_that_was_told_nothing_says_so(subject):
    true = subject._replace(
        method=subject.method._replace(
            fill=lambda state, key, x: Filled(jnp.ones(x.shape, bool).at[:, 0].set(False), x)
        )
    )
    scores = completion(true)
    assert scores["masked_mse"] == 0 and scores["masked_train_mean_mse"] > 0.01
    assert "masked_told_mse" not in scores


@pytest.mark.parametrize(("channels", "told"), [(1, False), (2, False), (3, True), (4, False)])
def test_three_rows_are_visible_predicted_and_original(many, tmp_path, monkeypatch, channels, told):
    def framed(picture, rows, columns, title, names):
        seen.append((picture, rows, columns, names))
        return figure(picture, rows, columns, title, names)

    figure, seen = completions.__globals__["framed"], []
    monkeypatch.setitem(completions.__globals__, "framed", framed)
    x = np.concatenate([many.x_test[..., :1] ** (1 + c) for c in range(channels)], 3)
    fill = many.method.fill if told else lambda *args: many.method.fill(*args)._replace(told=None)
    shown = many._replace(x_test=x, method=many.method._replace(fill=fill))
    completions(shown, tmp_path / "c.png", n=3)
    [(picture, rows, columns, names)] = seen
    assert names == ("visible", *(["visible and told"] if told else []), "predicted", "original")
    assert (rows, columns) == (len(names), 3)
    top, *second, middle, bottom = (picture[5 * i : 5 * i + 4, :4] for i in range(rows))
    assert picture.shape[-1] == (1 if channels < 3 else 3)
    hidden = (top != bottom).all(-1)
    assert hidden[0, 0] and not hidden[0, 1]
    np.testing.assert_allclose(middle[hidden], 0.25, atol=1e-6)
    for row in second:
        np.testing.assert_allclose(row, np.where(hidden[..., None], 0.5, bottom), atol=1e-6)
    np.testing.assert_allclose(middle[~hidden], bottom[~hidden], atol=1e-6)
    assert np.asarray(Image.open(tmp_path / "c.png").convert("L")).std() > 5


def test_what_is_no_picture_and_what_fills_nothing_is_refused(subject, tmp_path):
    flat = subject._replace(x_test=subject.x_test.reshape(-1, 16))
    with pytest.raises(
        UserError, match=r"'completions' draws pictures \(H, W, C\), and one input is \(16,\)"
    ):
        completions(flat, tmp_path / "c.png")
    other = subject._replace(method=subject.method._replace(fill=None))
    for run in (completion, lambda s: completions(s, tmp_path / "c.png")):
        with pytest.raises(UserError, match="needs a method with `fill`"):
            run(other)
    assert JUDGES["completion"].needs == FIGURES["completions"].needs == ("fill",)


def test_points_are_numbers_of_labels_and_their_accuracies(subject, tmp_path):
    assert points(subject.results, "fine_tune", 90) == [(9, 0.4), (45, 0.7), (90, 0.9)]
    assert points(subject.results, "from_scratch", 90) == [(9, 0.35), (45, 0.5)]
    for results in (None, {"knn_accuracy": 0.5}):
        with pytest.raises(UserError, match="shows what 'fine_tune' found: add that to"):
            label_efficiency(subject._replace(results=results), tmp_path / "l.png")


def test_both_lines_are_drawn(subject):
    drawn = []
    label_efficiency(subject, drawn.append)
    [ax] = drawn[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines == {
        "fine-tuned": [[9, 0.4], [45, 0.7], [90, 0.9]],
        "from scratch": [[9, 0.35], [45, 0.5]],
    }
    assert ax.get_xscale() == "log"
