"""Places in the stream of epochs, against plain integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from unsupjax.methods.parts.epochs import of_epoch, place
from unsupjax.parallel.mesh import AXIS, make_mesh


@pytest.mark.parametrize(("examples", "batch"), [(50, 50), (7, 3), (60_000, 256), (5, 1)])
@pytest.mark.parametrize("first", [0, 10**9])
def test_places_follow_the_stream(examples, batch, first):
    epoch, seen = jnp.int32(first), jnp.int32(0)
    for step in range(20):
        at = place(epoch, seen, batch, examples, None)
        positions = [first * examples + step * batch + i for i in range(batch)]
        np.testing.assert_array_equal(at.epochs, [p // examples for p in positions])
        np.testing.assert_array_equal(at.slots, [p % examples for p in positions])
        assert at.epoch == positions[0] // examples and at.last == positions[-1] // examples
        assert at.ends == ((positions[-1] + 1) // examples > positions[0] // examples)
        np.testing.assert_array_equal(of_epoch(at, batch, None), np.equal(at.epochs, at.epoch))
        epoch, seen = at.following, at.seen
        assert (int(epoch), int(seen)) == divmod(positions[-1] + 1, examples)


def test_devices_hold_consecutive_shares():
    def mine(x):
        return of_epoch(place(jnp.int32(0), jnp.int32(9), len(x), 20, AXIS), len(x), AXIS)

    shared = PartitionSpec(AXIS)
    sharded = jax.jit(jax.shard_map(mine, mesh=make_mesh(), in_specs=shared, out_specs=shared))
    np.testing.assert_array_equal(sharded(jnp.zeros(16)), [1.0] * 11 + [0.0] * 5)


def test_a_batch_larger_than_an_epoch_is_refused():
    with pytest.raises(ValueError, match="a batch of 10 examples is more than an epoch of 5"):
        place(jnp.int32(0), jnp.int32(0), 10, 5, None)
