"""Nearly all that these tests do is compile and boost trees: here in a fraction of the time."""

import jax
import pytest
from threadpoolctl import threadpool_limits


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


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """scikit-learn's threads wait for each other in a loop: beside other work a tiny fit takes 20 times as long."""
    import sklearn.ensemble
    import sklearn.neighbors  # noqa: F401  limits are of libraries that are loaded

    with threadpool_limits(1):
        yield
