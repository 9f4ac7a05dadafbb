"""What these tests compile draws its random bits by an instruction of XLA instead of rounds of Threefry."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def quick_draws():
    """Programs that draw are compiled in less time."""
    before = jax.config.values["jax_default_prng_impl"]
    jax.config.update("jax_default_prng_impl", "rbg")
    yield
    jax.config.update("jax_default_prng_impl", before)
