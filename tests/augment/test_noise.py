import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import augment

X = jnp.full((200, 300), 0.25)
KEY = jax.random.key(0)


def test_gaussian_noise_has_its_standard_deviation():
    noise = augment.gaussian_noise(KEY, X, 0.3) - X
    np.testing.assert_allclose((noise.mean(), noise.std()), (0.0, 0.3), atol=0.01)


def test_masking_noise_zeroes_that_share():
    y = augment.masking_noise(KEY, X, 0.3)
    assert set(np.unique(y)) == {0.0, 0.25}
    np.testing.assert_allclose((y == 0).mean(), 0.3, atol=0.01)


def test_salt_and_pepper_are_as_likely():
    y = augment.salt_and_pepper(KEY, X, 0.3)
    assert set(np.unique(y)) == {0.0, 0.25, 1.0}
    np.testing.assert_allclose(((y == 0).mean(), (y == 1).mean()), (0.15, 0.15), atol=0.01)


def test_binarize_draws_with_the_value_as_probability():
    y = augment.binarize(KEY, X)
    assert set(np.unique(y)) == {0.0, 1.0}
    np.testing.assert_allclose(y.mean(), 0.25, atol=0.01)


@pytest.mark.parametrize("f", [*augment.CORRUPTIONS.values(), lambda key, x, _: augment.binarize(key, x)])
def test_one_key_is_one_result_and_dtype_stays(f):
    y = f(KEY, X, 0.5)
    np.testing.assert_array_equal(y, f(KEY, X, 0.5))
    assert not np.array_equal(y, f(jax.random.key(1), X, 0.5))
    assert y.dtype == X.dtype and y.shape == X.shape


def test_an_unknown_corruption_is_refused():
    with pytest.raises(ValueError, match="one of gaussian, masking, salt_and_pepper"):
        augment.corruption("snow")
