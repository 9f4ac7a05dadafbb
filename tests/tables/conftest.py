"""Nearly all that these tests do is compile: here in a fraction of the time."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Random bits by an instruction of XLA instead of rounds of Threefry, and few optimisations."""
    options = {"jax_default_prng_impl": "rbg", "jax_disable_most_optimizations": True}
    before = {name: jax.config.values[name] for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
