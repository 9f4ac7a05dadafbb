"""The lapped transform against its definition."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import dct as scipy_dct

from unsupjax.codec.transform import (
    analyse,
    by_cells,
    cells_of,
    dct,
    frequencies,
    lapped,
    lapped_blocks,
    synthesise,
)

RNG = np.random.default_rng(0)


def test_dct_is_scipys():
    x = RNG.normal(size=16)
    np.testing.assert_allclose(dct(16) @ x, scipy_dct(x, norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("boost", [1.0, 1.25])
def test_blocks_that_overlap_give_the_signal_back(boost):
    a, s = lapped(8, boost)
    whole = np.zeros((2, 6 * 8, 7 * 8))
    for i in range(6):
        whole[0, i * 8 : i * 8 + 8, i * 8 : i * 8 + 16] = a
        whole[1, i * 8 : i * 8 + 8, i * 8 : i * 8 + 16] = s
    inner = slice(8, -8)
    np.testing.assert_allclose((whole[1].T @ whole[0])[inner, inner], np.eye(40), atol=1e-12)
    if boost == 1:
        np.testing.assert_allclose(a, s, atol=1e-12)
        np.testing.assert_allclose(a @ a.T, np.eye(8), atol=1e-12)


def test_smooth_signals_take_fewer_coefficients_than_with_a_dct():
    covariance = 0.95 ** abs(np.subtract.outer(np.arange(32), np.arange(32)))
    gain = lambda a, s: -np.log10(np.diag(a @ covariance @ a.T) * np.diag(s @ s.T)).mean()
    plain = np.pad(dct(16), ((0, 0), (8, 8)))
    assert gain(plain, plain) < gain(*lapped(16)) < gain(*lapped(16, 1.25))


@pytest.mark.parametrize("module", [np, jnp])
def test_pictures_come_back_up_to_their_borders(module):
    x = RNG.normal(size=(2, 48, 32))
    a, s = lapped_blocks(16, 1.25, 256)
    y = analyse(cells_of(module.asarray(x), 16), by_cells(a, 16))
    assert y.shape == (2, 3, 2, 256)
    made = synthesise(y, by_cells(s, 16).swapaxes(1, 2), 16)
    np.testing.assert_allclose(made, x, atol=1e-12 if module is np else 1e-4)


def test_the_lowest_frequencies_come_first():
    assert frequencies(4)[:6] == [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
