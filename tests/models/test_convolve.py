import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax.models.convolve import convolve, convolve_transposed

RNG = np.random.default_rng(0)


@pytest.fixture(params=["products", "native"])
def form(request, monkeypatch):
    """Convolutions as CPUs have them, and as others have them."""
    if request.param == "native":
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *a, cpu, default: default(*a))


@pytest.mark.parametrize("stride, size, groups", [(1, 3, 1), (1, 3, 2), (1, 1, 1), (2, 4, 1), (2, 2, 1)])
def test_convolutions_are_those_of_numpy(form, stride, size, groups):
    x = RNG.normal(size=(2, 4, 6, 4)).astype(np.float32)
    kernel = RNG.normal(size=(size, size, 4 // groups, 6)).astype(np.float32)
    pad = (size - stride + 1) // 2
    around = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    expected = np.zeros((2, 4 // stride, 6 // stride, 6))
    for i, j, d in np.ndindex(*expected.shape[1:]):
        group = d // (6 // groups)
        part = slice(group * 4 // groups, (group + 1) * 4 // groups)
        window = around[:, stride * i : stride * i + size, stride * j : stride * j + size, part]
        expected[:, i, j, d] = (window * kernel[None, ..., d]).sum((1, 2, 3))
    np.testing.assert_allclose(convolve(x, kernel, stride, groups), expected, rtol=1e-4, atol=1e-4)


def test_the_transposed_convolution_is_that_of_numpy(form):
    x = RNG.normal(size=(2, 2, 3, 3)).astype(np.float32)
    kernel = RNG.normal(size=(4, 4, 3, 2)).astype(np.float32)
    expected = np.zeros((2, 6, 8, 2))
    for i, j, m, n in np.ndindex(2, 3, 4, 4):
        expected[:, 2 * i + m, 2 * j + n] += x[:, i, j] @ kernel[m, n]
    np.testing.assert_allclose(convolve_transposed(x, kernel), expected[:, 1:-1, 1:-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "stride, size, shape", [(1, 4, (1, 4, 4, 1)), (2, 3, (1, 4, 4, 1)), (2, 4, (1, 5, 4, 1))]
)
def test_convolutions_that_are_refused(stride, size, shape):
    with pytest.raises(ValueError, match="stride"):
        convolve(jnp.zeros(shape), jnp.zeros((size, size, 1, 1)), stride)
