"""What every kind must do, and what each does of its own."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.data.kinds import KINDS, Arrays, Images, from_json
from unsupjax.data.kinds.table import fit
from unsupjax.errors import UserError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(50, [1, 9, 200], (20, 3))
CASES = {  # kind -> one of it, and raw examples
    "images": (Images((4, 3, 2)), RNG.integers(0, 256, (5, 4, 3, 2), np.uint8)),
    "table": (fit(ROWS, ("a", "b", "c")), ROWS),
    "arrays": (Arrays((4, 3)), RNG.normal(size=(5, 4, 3)).astype(np.float32)),
}
CHECKED = pytest.mark.parametrize("name", KINDS)


@CHECKED
def test_a_kind_survives_json(name):
    kind, _ = CASES[name]
    text = json.dumps(kind.to_json())
    assert from_json(json.loads(text)) == kind and json.dumps(from_json(json.loads(text)).to_json()) == text
    assert kind.name == name and hash(kind) == hash(from_json(kind.to_json()))


@CHECKED
def test_what_is_seen_is_as_its_example_and_is_restored(name):
    kind, raw = CASES[name]
    stored = kind.prepare(raw)
    seen = jax.jit(kind.see)(stored)
    assert (seen.shape[1:], seen.dtype) == (kind.example().shape, kind.example().dtype)
    np.testing.assert_array_equal(kind.see(seen), seen)  # what is seen already stays as it is
    restored = kind.restore(np.asarray(seen))
    if name == "table":
        restored = np.stack([restored[column] for column in kind.columns], axis=1)
    np.testing.assert_allclose(restored, raw, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(kind.prepare(raw), stored)


@CHECKED
def test_examples_of_another_shape_or_dtype_are_refused(name):
    kind, raw = CASES[name]
    for wrong in (raw[:, :-1], raw.astype(str), raw[0]):
        with pytest.raises(UserError, match=r"belong"):
            kind.prepare(wrong)


@pytest.mark.parametrize(
    "content", [{}, {"kind": "sounds"}, {"kind": "images"}, {"kind": "images", "shape": 3}, 7]
)
def test_json_of_no_kind_is_refused(content):
    with pytest.raises(UserError, match="no kind of data of this version"):
        from_json(content)
    table = CASES["table"][0].to_json()
    with pytest.raises(UserError, match="3 columns, 2 means"):
        from_json(table | {"mean": [1.0, 2.0]})


def test_pictures_are_seen_in_the_unit_interval():
    kind = Images((2, 1, 1))
    stored = jnp.array([0, 51, 255, 0], jnp.uint8).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(kind.see(stored).ravel(), [0, 0.2, 1, 0])
    np.testing.assert_array_equal(kind.prepare(np.zeros((3, 2, 1), np.uint8)).shape, (3, 2, 1, 1))
    np.testing.assert_array_equal(kind.restore(np.array([-0.5, 0.2, 1.5])), [0, 51, 255])
    with pytest.raises(UserError, match="pictures are float64"):
        kind.prepare(np.zeros((3, 2, 1, 1)))
    with pytest.raises(UserError, match="pictures are uint16; give uint8"):
        kind.see(stored.astype(jnp.uint16))


@CHECKED
def test_what_is_of_another_shape_is_not_seen(name):
    kind, raw = CASES[name]
    stored = kind.prepare(raw)
    with pytest.raises(UserError, match="where the model takes"):
        jax.jit(kind.see)(np.moveaxis(stored, 0, -1))


def test_columns_are_matched_by_name():
    kind, raw = CASES["table"]
    named = {"c": raw[:, 2], "a": raw[:, 0], "b": raw[:, 1].tolist()}
    np.testing.assert_array_equal(kind.prepare(named), kind.prepare(raw))
    with pytest.raises(UserError, match="the column 'b' is missing"):
        kind.prepare({"a": raw[:, 0], "c": raw[:, 2]})
    with pytest.raises(UserError, match="the column 'd' is none of the model's"):
        kind.prepare(named | {"d": raw[:, 0]})
    with pytest.raises(UserError, match="no number"):
        kind.prepare(named | {"c": ["x"] * len(raw)})
    with pytest.raises(UserError, match="differ in length"):
        kind.prepare(named | {"c": raw[:5, 2]})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_entry_that_is_no_number_is_named(value):
    kind, raw = CASES["table"]
    raw = raw.copy()
    raw[4, 1] = value
    with pytest.raises(UserError, match=r"row 4 \(from 0\), column 'b' holds (nan|inf)"):
        kind.prepare(raw)
    if np.isnan(value):
        assert np.isnan(kind._replace(missing=True).prepare(raw)[4, 1])


def test_rows_are_standardised_by_what_was_observed():
    x = ROWS.copy()
    x[:5, 0] = np.nan
    kind = fit(x, missing=True)
    np.testing.assert_allclose(kind.mean, np.nanmean(x, axis=0))
    np.testing.assert_allclose(kind.std, np.nanstd(x, axis=0))
    assert fit(x, standardise=False).std == (1.0, 1.0, 1.0) and kind.columns == ("0", "1", "2")
