"""What an encoder that sees the visible patches alone saves: a step of training beside one that encodes all patches.

    python -m benchmarks.masked

The other encoder gets a learnt token in place of each hidden patch, as one that predicts patches without gathering the
visible ones does; decoder, loss and optimizer are the same. Steps of both are timed in turns, in one process.
"""

import argparse
import statistics
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import methods, models

SHAPES = {"mnist": ((28, 28, 1), {"mlp_ratio": 2.0, "decoder_width": 32, "norm": "rms", "mlp": "relu2"})}
SHAPES["cifar10"] = ((32, 32, 3), {"width": 192, "depth": 12, "heads": 3, "decoder_width": 96})


class Whole(models.PatchAutoencoder):
    """The same network, whose encoder gets all patches: a learnt token stands where one is hidden."""

    def setup(self):
        """The layers, and that token."""
        super().setup()
        self.blank = self.param("blank", nn.initializers.normal(0.02), (self.width,))

    def __call__(self, patches: jax.Array, index: jax.Array) -> jax.Array:
        """All P patches float32 `[B, P, D]`, of those at `index`."""
        total = len(self.places)
        x = self.embed(patches)
        whole = jnp.broadcast_to(self.blank.astype(x.dtype), (len(x), total, self.width))
        whole = jax.vmap(lambda all, i, some: all.at[i].set(some))(whole, index, x)
        tokens = self.last(self._through(self.blocks, whole + self.places[None]).astype(jnp.float32))
        return self.decode(tokens, jnp.broadcast_to(jnp.arange(total)[None], (len(x), total)))


def steps(network: nn.Module, x: jax.Array, share: float):
    """A step of training, `() -> something to wait for`."""
    method = methods.masked_patches(network, optax.adamw(1e-3), share=share)
    state = jax.jit(method.init)(jax.random.key(0), x)
    step = jax.jit(method.step)
    return lambda: step(state, x)


def main(argv=None):
    """Prints the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=SHAPES, default="mnist", help="whose shape and network")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--share", type=float, default=0.75, help="of the patches that are hidden")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args(argv)
    shape, network = SHAPES[options.data]
    x = jax.random.uniform(jax.random.key(1), (options.batch, *shape))
    calls = {
        kind.__name__: steps(kind(shape, **network), x, options.share)
        for kind in (models.PatchAutoencoder, Whole)
    }
    seconds = {name: [] for name in calls}
    for i in range(options.repeats + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            if i:  # the first compiles
                seconds[name].append(time.perf_counter() - begin)
    visible, whole = (statistics.median(s) for s in seconds.values())
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(
        f"{options.data}, batch {options.batch}, {options.share:.0%} hidden, {jax.devices()[0].device_kind}"
    )
    print(f"visible patches alone: {1e3 * visible:.1f} ms a step; all patches: {1e3 * whole:.1f} ms")
    print(
        f"ratio of the medians {whole / visible:.2f}; of {len(ratios)} pairs the median is "
        f"{statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
