"""Arrays of pictures: their range is known, said or asked for, and their channels come last."""

import numpy as np
import pytest

from unsupjax.data import arrays, open_source
from unsupjax.data.kinds import Arrays, Images, from_json
from unsupjax.errors import UserError

UNIT = np.random.default_rng(0).uniform(size=(10, 6, 5, 3))


@pytest.fixture
def save(tmp_path):
    def write(x):
        np.save(tmp_path / "x.npy", x)
        return f"npy:{tmp_path / 'x.npy'}"

    return write


@pytest.mark.parametrize(
    "x, value_range",
    [
        (UNIT, ()),
        ((255 * UNIT).astype(np.float32), (0, 255)),
        (2 * UNIT - 1, (-1.0, 1.0)),
        (np.rint(65535 * UNIT).astype(np.uint16), (0, 65535)),
        (np.rint(4095 * UNIT).astype(np.int32), (0, 4095)),
    ],
)
def test_pictures_are_seen_in_the_unit_range_and_restored(save, x, value_range):
    source = open_source(save(x), value_range=value_range, holdout=0.5)
    kind = source.kind
    assert isinstance(kind, Images) and from_json(kind.to_json()) == kind
    seen = np.asarray(kind.see(kind.prepare(x)))
    np.testing.assert_allclose(seen, UNIT, atol=2e-4)
    restored = kind.restore(seen)
    assert restored.dtype == (np.float32 if x.dtype.kind == "f" else x.dtype)
    np.testing.assert_allclose(restored, x, atol=1e-6 * np.abs(x).max())
    assert arrays(source.train)[0].min() >= 0 and arrays(source.train)[0].max() <= 1
    with pytest.raises(UserError, match="reach from"):
        kind.prepare(x.astype(np.float64) * 3)


@pytest.mark.parametrize(
    "x, advice",
    [
        (255 * UNIT, r"value_range=\(0, 255\)"),
        (2 * UNIT - 1, r"value_range=\(-1, 1\)"),
        (np.rint(4095 * UNIT).astype(np.uint16), r"value_range=\(0, 65535\)"),
        (3 * UNIT - 1.5, "config.data.as_arrays=True"),
    ],
)
def test_a_range_that_nobody_said_is_asked_for(save, x, advice):
    with pytest.raises(UserError, match=advice):
        open_source(save(x))
    assert open_source(save(x), as_arrays=True).kind == Arrays((6, 5, 3))


@pytest.mark.parametrize("value_range", [(1,), (1.0, 0.0), (0, 1, 2)])
def test_no_range(save, value_range):
    with pytest.raises(UserError, match="must be two numbers"):
        open_source(save(UNIT), value_range=value_range)
    with pytest.raises(UserError, match="is for arrays of pictures"):
        open_source("digits", value_range=(0, 255))


@pytest.mark.parametrize("scale", [1, 255])
def test_channels_that_come_first_are_turned_or_refused(save, scale):
    x = (scale * UNIT).astype(np.uint8 if scale == 255 else np.float32)
    first = np.moveaxis(x, -1, 1)
    with pytest.raises(UserError, match=r"\(10, 3, 6, 5\) look like .* config.data.channels_first=True"):
        open_source(save(first))
    turned = open_source(save(first), channels_first=True)
    np.testing.assert_array_equal(arrays(turned.train)[0], arrays(open_source(save(x)).train)[0])
    with pytest.raises(UserError, match=r"move the channels last: np.moveaxis"):
        turned.kind.prepare(first)
    with pytest.raises(UserError, match="leave it out"):
        open_source("digits", channels_first=True) if scale == 1 else open_source(
            save(x[0]), channels_first=True
        )


def test_what_a_model_is_given_must_have_the_range_that_it_sees():
    kind = Images((6, 5, 3))
    for wrong in (255 * UNIT, 2 * UNIT - 1):
        with pytest.raises(UserError, match=r"and the model sees \[0, 1\]: give uint8"):
            kind.see(wrong.astype(np.float32))
    np.testing.assert_allclose(kind.see(np.rint(255 * UNIT).astype(np.uint8)), UNIT, atol=0.003)
