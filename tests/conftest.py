"""Eight virtual CPU devices for every test; what has no sharding of its own runs on the first."""

import ctypes
import gc
import importlib.metadata
import os

from launch import CACHE

# The threads of scikit-learn wait for each other in a loop: beside other work a tiny fit takes 20 times as long.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["PJRT_NPROC"] = "64"  # threads: without it, collectives of eight devices on few cores can starve
# What an earlier file or an earlier run compiled is read: most of the time is compiling. A folder a worker: an entry
# that another one is writing cannot be read.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE / os.environ.get("PYTEST_XDIST_WORKER", "alone"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
if importlib.metadata.version("jaxlib").startswith(
    "0.10."
):  # another one may end at a flag that it does not know
    # The older emitter of fusions compiles in two thirds of the time.
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_use_fusion_emitters=false"

import jax
import pytest

from unsupjax.parallel.hardware import memory
from unsupjax.parallel.heap import keep_freed_memory

keep_freed_memory()

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_threefry_partitionable", True)
# Most tests run tiny programs a few times: they spend their time compiling, and less of it without optimisations.
jax.config.update("jax_disable_most_optimizations", True)
gc.set_threshold(20_000, 20, 20)  # tracing makes objects by the thousand, and few of them are rubbish


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Tests that are marked `optimised`, and their fixtures, compute for long or to a narrow tolerance."""
    optimised = item.get_closest_marker("optimised") is not None
    jax.config.update("jax_disable_most_optimizations", not optimised)


def forget(beyond):
    """Drops compiled programs once a worker holds so many GiB: one that keeps all grows by gigabytes."""
    if memory().get("host_memory_gib", beyond + 1) > beyond:
        jax.clear_caches()
        gc.collect()
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)


@pytest.fixture(autouse=True, scope="module")
def forgetting():
    """Between two modules."""
    yield
    forget(0.5)


@pytest.fixture(autouse=True)
def forgetting_in_time():
    """In the midst of a module of many programs."""
    yield
    forget(1.2)


@pytest.fixture(scope="module")
def few_panels():
    """Learning curves are those of the loss alone: a panel for each metric takes longer than a tiny run."""
    from unsupjax.evaluate.figures import curves

    whole = curves.read_curves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "read_curves", lambda path: dict(list(whole(path).items())[:1]))
        yield


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits, float32 in [0, 1], [1797, 8, 8, 1]."""
    import numpy as np
    from sklearn.datasets import load_digits

    return (load_digits().images[..., None] / 16).astype(np.float32)
