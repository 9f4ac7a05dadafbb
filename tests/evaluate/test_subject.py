"""The subject's codes and the batched map, against direct computation."""

import importlib.util
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import config as configs
from unsupjax.data.kinds import Images, Table
from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES, JUDGES, Facts, map_batches
from unsupjax.evaluate import subject as make_subject
from unsupjax.evaluate.subject import host_seed, random_subset

TABLE = Table.of_statistics([0.0] * 12, [1.0] * 12)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (8, 4), (3, 4), (1, 1)])
def test_map_batches_is_the_map_in_order_with_one_compilation(n, batch_size):
    shapes = []

    def scaled(factor, batch):
        shapes.append(batch[0].shape)
        return factor * batch[0].sum(axis=1) + batch[1]

    x, offset = np.arange(2.0 * n, dtype=np.float32).reshape(n, 2), np.arange(n, dtype=np.float32)
    got = map_batches(scaled, (x, offset), batch_size, jnp.float32(3.0))
    np.testing.assert_array_equal(got, 3 * x.sum(axis=1) + offset)
    assert shapes == [(min(n, batch_size), 2)]


def test_codes_are_those_of_encode(subject):
    params = jax.tree.map(np.asarray, subject.state.params)
    for x, z in ((subject.x_train, subject.z_train), (subject.x_test, subject.z_test)):
        np.testing.assert_allclose(
            z, (x.reshape(len(x), 16) - params["mean"]) @ params["code"]["kernel"], atol=1e-5
        )
        assert np.asarray(z).dtype == np.float32 and z.shape == np.asarray(z).shape and len(z) == len(x)


def test_codes_that_are_not_finite_are_refused(subject):
    x = subject.x_test.copy()
    x[3] = np.nan
    train, test = (subject.x_train, None), (x, None)
    damaged = make_subject(subject.method, subject.state, subject.key, train, test)
    with pytest.raises(UserError, match=r"codes of 1 of 45 test examples are not finite.*learning rate"):
        np.asarray(damaged.z_test)
    assert np.isfinite(damaged.z_train).all()


def test_codes_are_computed_once_and_for_those_who_ask(subject):
    asked = []

    def encode(state, x):
        asked.append(len(x))  # when it is traced: once each for a shape and for codes
        return x.reshape(len(x), -1)

    method = subject.method._replace(encode=encode)
    judged = make_subject(method, subject.state, subject.key, (subject.x_train, None), (subject.x_test, None))
    assert judged.z_test.shape == (45, 16) and asked == [1]
    np.testing.assert_array_equal(judged.z_test[2:4], subject.x_test[2:4].reshape(2, -1))
    judged.z_test[0], np.asarray(judged.z_test)
    assert asked == [1, 45]


def test_random_subset_is_without_replacement_and_at_most_all():
    chosen = random_subset(jax.random.key(0), 20, 7)
    assert len(set(chosen.tolist())) == 7 and set(chosen.tolist()) <= set(range(20))
    np.testing.assert_array_equal(random_subset(jax.random.key(0), 5, 9), np.arange(5))
    assert 0 <= host_seed(jax.random.key(3)) < 2**31


@pytest.mark.parametrize("function", [judge.run for judge in (*JUDGES.values(), *FIGURES.values())])
def test_every_hyperparameter_is_keyword_only_with_a_plain_default_and_documented(function):
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in ("subject", "path"):
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert isinstance(parameter.default, bool | int | float | str | tuple)
            assert f"\n    {name}: " in inspect.getdoc(function)


def test_judges_and_figures_have_names_of_their_own_and_require_the_labels_they_need():
    assert not set(JUDGES) & set(FIGURES)  # both have their arguments in the same section of a config
    source = {
        name: inspect.getsource(inspect.getmodule(judge.run)) for name, judge in (JUDGES | FIGURES).items()
    }
    for name, judge in (JUDGES | FIGURES).items():
        # What judges steps of series has its labels with them.
        if "labels" in judge.needs and name not in ("scores", "detection"):
            assert "require.labels" in source[name], name


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "fid",
            TABLE,
            "'fid' needs data of the kind images or arrays, and this is table of shape (12,)",
        ),
        ("views", TABLE, "'views' needs data of the kind images or arrays"),
        ("samples", Images((4, 4, 1)), "'samples' needs a method with `sample`"),
        ("knn", TABLE, None),
        ("knn_weighted", TABLE, "kNN: k=200 must be between 1 and the 90 training examples; lower it"),
        ("linear_probe", Facts(Images((4, 4, 1)), 90, 45, np.zeros(90), None, ("a",)), "two classes"),
        ("anomaly", TABLE, "which class is normal, of a, b; set config.data.normal_label"),
        ("views", Images((4, 4, 2)), "images of 1 or 3 channels"),
        ("generation", Images((4, 4, 1)), "takes inputs of shape"),
        (
            "tsne",
            TABLE,
            "'tsne' needs the package openTSNE, which is not installed; `pip install openTSNE`",
        ),
    ],
)
def test_what_a_judge_needs_is_said_before_the_training(name, kind, message, subject, monkeypatch):
    judge = (JUDGES | FIGURES)[name]
    method = subject.method._replace(sample=None) if name == "samples" else subject.method
    arguments = {"encoder": "mnist", "weights": __file__} if name in ("generation", "fid") else {}
    arguments |= configs.defaults(judge.run) if name.startswith("knn") else {}
    facts = kind if isinstance(kind, Facts) else Facts(kind, 90, 45, np.arange(90) % 2, None, ("a", "b"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "openTSNE" else find(n))
    if message is None:
        judge.refuse(name, arguments, method, facts)
    else:
        with pytest.raises(UserError, match=re.escape(message)):
            judge.refuse(name, arguments, method, facts)
