"""The deep embedded self-organizing map: an autoencoder whose codes are laid out on a map."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, State, descend, init_state, likelihood_wants
from unsupjax.methods.parts.coder import coder
from unsupjax.som import Grid, Map, distances


def desom(
    encoder: nn.Module,
    decoder: nn.Module,
    tx: optax.GradientTransformation,
    *,
    total_steps: int,
    latent_dim: int = 10,
    height: int = 8,
    width: int = 8,
    topology: str = "rectangular",
    toroidal: bool = False,
    manhattan: bool = False,
    gamma: float = 1.0,
    start_radius: float = 10.0,
    end_radius: float = 0.1,
    likelihood: str = "squared_error",
    axis_name: str | None = None,
    dtype: jnp.dtype | None = None,
) -> Method:
    r"""Reconstruction error plus `gamma` times the distortion of a self-organizing map of the codes.

    .. math:: -\log p(x_i | z_i) + \gamma \sum_k \exp\left(-d(k, b_i)^2 / T^2\right) \|z_i - m_k\|^2

    with :math:`b_i` the unit nearest to the code :math:`z_i` (a constant of the gradient, like the weights), d the
    distance of units on the grid, or on the torus, and a radius T that falls
    exponentially from `start_radius` at the first step to `end_radius` at the last. The codebook is trained by
    the same optimizer as the networks and begins as codes of random examples of the first batch.

    The published code divides the squared error by the number of inputs and not so the distortion, which weighs
    0.001 there: the same as `gamma` = 0.784 for 28 x 28 pixels, where errors are summed.

    Args:
        encoder, decoder: Linen modules, `[B, ...] -> [B, H]` and `[B, latent_dim] -> [B, ...]`.
        tx: the optimizer.
        total_steps: length of the run, over which the radius falls.
        latent_dim: width of the code.
        height, width: of the map, in units.
        topology: "rectangular" or "hexagonal".
        toroidal: the map is closed at its borders.
        manhattan: d is the Manhattan distance, as in the paper, and not the Euclidean.
        gamma: weight of the distortion.
        start_radius, end_radius: T at the first and at the last step, in steps of the grid.
        likelihood: "squared_error", "gaussian" or "bernoulli" (inputs in [0, 1]); summed over the event.
        axis_name: the mapped device axis under `pmap` or `shard_map`.
        dtype: compute dtype of the code layer; the modules carry their own.

    Source: Forest, Lebbah, Azzag and Lacaille, "Deep embedded SOM: joint representation learning and
    self-organization", ESANN 2019.
    """
    if total_steps < 1:
        raise ValueError(f"total_steps={total_steps} must be at least 1: the radius falls over them")
    if not 0 < end_radius <= start_radius:
        raise ValueError(
            f"start_radius={start_radius} must not be below end_radius={end_radius}, nor that 0 or below"
        )
    networks, p_x = coder(encoder, decoder, latent_dim, dtype=dtype), losses.likelihood(likelihood)
    grid = Grid(height, width, topology, toroidal)
    between = jnp.asarray(distances(grid, manhattan), jnp.float32)

    def init(key, batch):
        params = networks.init(key, batch)
        n, draw = len(batch), jax.random.fold_in(key, grid.units)
        chosen = jax.random.choice(draw, n, (grid.units,), replace=n < grid.units)
        codebook = networks.encode(params, batch)[chosen]
        return init_state(key, params | {"codebook": codebook}, tx)

    def radius(step):
        progress = jnp.minimum(step / max(total_steps - 1, 1), 1.0)
        return start_radius * (end_radius / start_radius) ** progress

    def step(state: State, x: jax.Array):
        neighbourhood = jnp.exp(-jnp.square(between / radius(state.step)))

        def loss(params):
            z, codebook = networks.encode(params, x), params["codebook"]
            error = p_x.nll(networks.decode(params, z), x).mean()
            distortion = losses.som_distortion(z, codebook, neighbourhood).mean()
            nearest = jax.lax.stop_gradient(losses.squared_distances(z, codebook)).min(axis=1)
            return error + gamma * distortion, {
                "reconstruction": error,
                "distortion": distortion,
                "quantization_error": jnp.sqrt(nearest).mean(),
            }

        new, metrics = descend(loss, state, tx, axis_name)
        return new, metrics | {"radius": radius(state.step)}

    def encode(state: State, x: jax.Array):
        return networks.encode(state.params, x)

    def decode(state: State, z: jax.Array):
        return p_x.mean(networks.decode(state.params, z))

    def assign(state: State, x: jax.Array):
        distance = losses.squared_distances(encode(state, x), state.params["codebook"])
        return distance.argmin(axis=1).astype(jnp.int32)

    def prototypes(state: State):
        return decode(state, state.params["codebook"])

    def project(state: State, x: jax.Array):
        return Map(state.params["codebook"], grid), encode(state, x)

    return Method(
        init,
        step,
        encode,
        decode,
        assign=assign,
        prototypes=prototypes,
        map=project,
        wants=likelihood_wants(likelihood),
    )
