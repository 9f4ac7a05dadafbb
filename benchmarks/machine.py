"""What benchmarks compare with: the machine itself."""

import time


def sgemm_rate(n=2048):
    """Float32 operations a second of one large matrix product."""
    import jax

    a = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    begin = time.perf_counter()
    product(a).block_until_ready()
    return 2 * n**3 / (time.perf_counter() - begin)
