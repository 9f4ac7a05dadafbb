import doctest
import importlib

import jax.numpy as jnp
import pytest


@pytest.mark.parametrize("name", ["reconstruction", "structure", "variational"])
def test_the_examples_in_the_docstrings_run(name):
    module = importlib.import_module(f"unsupjax.losses.{name}")
    result = doctest.testmod(module, extraglobs={"jnp": jnp})
    assert result.attempted and not result.failed
