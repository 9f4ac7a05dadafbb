"""A conditional GAN for tables of numbers and categories, which starts as the table's Gaussian copula."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import losses
from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts import copula as copulas
from unsupjax.methods.parts import tabular
from unsupjax.methods.parts.teacher import copied, moved
from unsupjax.parallel.collectives import example_keys

PENALTY = {"wasserstein": 10.0, "relativistic": 0.1}
UPDATES = {"tx_d": "n_critic"}
_FINISH = 2**31 - 1  # names the stream of what `finish` draws; no step is this
_QUANTILES = 1001
_FEWEST = 10  # numbers, to tell quantiles from
_SETTLED, _DRAWN, _BLOCK = 100, 10, 1000  # blocks of rows that finish the statistics and the quantiles


class Facts(NamedTuple):
    """What is known of the whole training split, constant in training.

    Attributes:
        latent: the copula that the latents come from.
        view: of the critic.
        counts: `[S, K]`, of S columns of categories how many rows have each; 0 beyond a column's own.
        quantiles: `[J, Q]`, of each number, in deviations from its mean, of the rows where it is no single value.
    """

    latent: copulas.Latent
    view: tabular.View
    counts: jax.Array
    quantiles: jax.Array


class State(NamedTuple):
    """The state of a table GAN: both networks and their optimizers, the generator's batch statistics and its average.

    `average_stats` are the statistics of the average, and `quantiles` those of its numbers: both of `finish`.
    """

    step: jax.Array
    key: jax.Array
    generator: Any
    stats: Any
    critic: Any
    opt_g: optax.OptState
    opt_d: optax.OptState
    average: Any
    average_stats: Any
    quantiles: jax.Array
    facts: Facts


def table_gan(
    tx_g: optax.GradientTransformation,
    tx_d: optax.GradientTransformation,
    *,
    kind: Any = None,
    rows: np.ndarray | None = None,
    generator_features: tuple = (256, 256),
    critic_features: tuple = (256, 256),
    dropout: float = 0.25,
    noise_dim: int = 32,
    pack: int = 1,
    loss: str = "relativistic",
    penalty_weight: float = -1.0,
    n_critic: int = 1,
    ema: float = 0.999,
    copula: bool = True,
    calibrated: bool = True,
    axis_name: str | None = None,
) -> Method:
    r"""Learns what the Gaussian copula of a table lacks: `n_critic` updates of the critic, then one of the generator.

    The generator's latents are correlated normal scores whose quantiles are a row (`parts.copula`); its networks add to
    that row's scalars and logits, :math:`G(z, \epsilon, c) = s(z) + g(z, \epsilon, c)` with g = 0 at first. A batch is
    a pair of rows `[B, W]` and of a category that each was chosen for `[B]`, drawn by log-frequency
    (`unsupjax.data.feeds.by_category`); the generator is asked for the same and held to it by a cross-entropy. The
    critic sees packs of vectors, of their numbers and of the numbers' principal components (`parts.tabular.see`). It
    minimises a pair of `losses.GAN_LOSSES` and

    - "relativistic" (R3GAN's): :math:`\frac\lambda2 (\|\nabla_x D(x)\|^2 + \|\nabla_{\tilde x} D(\tilde x)\|^2)`,
      which settles where the start is near the end already;
    - "wasserstein" (CTGAN's): WGAN-GP; the event of either penalty is a pack.

    Args:
        tx_g, tx_d: the optimizers.
        kind: of the rows: a table of categories and of numbers by modes (`unsupjax.data.kinds.Table`).
        rows: the training split `[N, W]`, as it is stored. Only training needs it: without it `init` has the shapes of
            State alone, for the State that a checkpoint holds.
        generator_features, critic_features: widths of the hidden layers.
        dropout: in the critic.
        noise_dim: normal numbers that the generator is given beside the latents.
        pack: rows that the critic judges together, which shows it whether they differ; CTGAN's are 10.
        loss: "relativistic" or "wasserstein".
        penalty_weight: :math:`\lambda`; -1: 0.1 and 10.
        n_critic: updates of the critic in a step. Each of them, and the generator's, has its own part of the batch.
        ema: of the generator's average, which samples; 0: the last parameters do.
        copula: start from the copula; without it the latents are independent, as CTGAN's are.
        calibrated: samples have the quantiles of the training split in every number.
        axis_name: the mapped device axis under `pmap` or `shard_map`.

    `finish` gives the average batch statistics of its own and, where samples are `calibrated`, finds the quantiles that
    its numbers have. `sample(state, key, n, asked=None)` asks for categories as frequent as they are, or for those of
    `asked` `[n]` int, positions among all. `encode` gives the critic's features of a pack of equal rows.

    Metrics: `loss` and `critic_gap` (without the penalty), `generator_loss` and `condition_loss`.

    Raises:
        ValueError: data that is no such table; an argument that is none of its choices; at `step`, a batch that
            the updates and pack do not divide.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019; Huang et al., "The GAN is dead;
    long live the GAN!", NeurIPS 2024.
    """
    _check(loss, pack, n_critic, noise_dim, ema, dropout)
    layout = tabular.layout(kind)
    inputs, hots, categories = len(layout.hots) + noise_dim, sum(layout.hots), sum(layout.sizes)
    generator = tabular.Generator(sum(layout.modes) + hots, tuple(generator_features), axis_name)
    critic = tabular.Critic(tuple(critic_features), dropout)
    pair = losses.GAN_LOSSES[loss]
    weight = PENALTY[loss] if penalty_weight < 0 else penalty_weight

    def init(key, batch):
        known = _facts(kind, layout, rows, copula, key)
        made = generator.init(jax.random.fold_in(key, 0), jnp.zeros((1, inputs + categories)))
        packs = jnp.zeros((1, pack, layout.width + categories + 2 * layout.scalars))
        g, d = made["params"], critic.init(jax.random.fold_in(key, 1), packs)["params"]
        stats, zero = made["batch_stats"], jnp.zeros((), jnp.int32)
        average = copied(g), copied(stats), jnp.copy(known.quantiles)
        return State(zero, key, g, stats, d, tx_g.init(g), tx_d.init(d), *average, known)

    def generate(params, stats, latent, keys, asked, train, network=generator):
        """Vectors `[B, D]` with the categories `asked`, logits `[B, H]` and new statistics."""
        draws = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
        normal = lambda i, n: jax.vmap(lambda key: jax.random.normal(key, (n,)))(draws[:, i])
        z = copulas.draw(layout, latent, normal(0, len(layout.hots)), asked)
        joined = jnp.concatenate([z, normal(1, noise_dim), jax.nn.one_hot(asked, categories)], axis=1)
        variables = {"params": params, "batch_stats": stats}
        raw, new = network.apply(variables, joined, train, mutable=["batch_stats"])
        gumbel = jax.vmap(lambda key: jax.random.gumbel(key, (hots,)))(draws[:, 2])
        vectors, logits = tabular.compose(layout, gumbel, raw, copulas.start(layout, latent, z))
        return vectors, logits, new["batch_stats"]

    def packs(view, vectors, asked):
        """What the critic sees, `[B / P, P, E]`."""
        seen = tabular.see(layout, view, vectors, jax.nn.one_hot(asked, categories))
        return seen.reshape(-1, pack, seen.shape[1])

    def penalty(judge, real, fake, keys):
        if loss == "wasserstein":
            return losses.wgan_gp(judge, real, fake, keys).mean()
        return sum(losses.gradient_norm2(judge, x).mean() for x in (real, fake)) / 2

    def critic_update(state, x, asked, index):
        for_rows, for_packs = _keys(state, index, len(x), pack, axis_name)
        fake, *_ = generate(state.generator, state.stats, state.facts.latent, for_rows, asked, True)
        real, fake = (packs(state.facts.view, vectors, asked) for vectors in (x, fake))

        def objective(params):
            judge = lambda x, i: critic.apply({"params": params}, x, for_packs[:, i])
            gap = pair.discriminator(judge(real, 0), judge(fake, 1)).mean()
            value = gap + weight * penalty(lambda x: judge(x, 2), real, fake, for_packs[:, 3])
            return value, {"critic_gap": gap}

        value, metrics, params, opt_d = update(objective, state.critic, state.opt_d, tx_d, axis_name)
        return state._replace(critic=params, opt_d=opt_d), {"loss": value} | metrics

    def generator_update(state, x, asked):
        for_rows, for_packs = _keys(state, n_critic, len(x), pack, axis_name)
        condition = jax.nn.one_hot(asked, categories)

        def objective(params):
            fake, logits, stats = generate(params, state.stats, state.facts.latent, for_rows, asked, True)
            seen = (packs(state.facts.view, vectors, asked) for vectors in (x, fake))
            judged = (critic.apply({"params": state.critic}, x, for_packs[:, 0]) for x in seen)
            adversarial = pair.generator(*judged).mean()
            conditional = tabular.condition_loss(layout, logits, condition).mean()
            metrics = {"generator_loss": adversarial, "condition_loss": conditional}
            return adversarial + conditional, (metrics, stats)

        _, (metrics, stats), params, opt_g = update(objective, state.generator, state.opt_g, tx_g, axis_name)
        average = moved(state.average, params, ema, opt_g)
        return state._replace(generator=params, stats=stats, opt_g=opt_g, average=average), metrics

    def step(state: State, batch):
        x, asked = batch if isinstance(batch, tuple) else (batch, jnp.zeros(len(batch), jnp.int32))
        if len(x) % ((n_critic + 1) * pack):
            raise ValueError(f"{n_critic + 1} updates of {pack=} do not divide the {len(x)} rows on a device")
        # Every (n_critic + 1)-th row, so that each device keeps its own.
        divided = lambda a: a.reshape(-1, n_critic + 1, *a.shape[1:]).swapaxes(0, 1)
        parts = jax.tree.map(divided, (tabular.arranged(layout, x), asked))
        one = lambda state, part: critic_update(state, *part[0], part[1])
        state, metrics = jax.lax.scan(
            one, state, (jax.tree.map(lambda a: a[:-1], parts), jnp.arange(n_critic))
        )
        state, more = generator_update(state, *jax.tree.map(lambda a: a[-1], parts))
        metrics = jax.tree.map(lambda m: m.mean(), metrics) | more
        return state._replace(step=state.step + 1), metrics

    def encode(state: State, x: jax.Array):
        nothing = jnp.zeros((len(x), categories))
        seen = tabular.see(layout, state.facts.view, tabular.arranged(layout, x), nothing)
        alike = jnp.repeat(seen[:, None], pack, axis=1)
        return critic.apply({"params": state.critic}, alike, features=True)

    def draw(state, key, n, asked=None):
        """Vectors `[n, D]` of the average, as it makes them."""
        keys = jax.vmap(jax.random.split)(example_keys(key, n, None))
        asked = _as_they_are(layout, state.facts.counts, keys[:, 0]) if asked is None else asked
        return generate(state.average, state.average_stats, state.facts.latent, keys[:, 1], asked, False)[0]

    def finish(state: State) -> State:
        key = jax.random.fold_in(state.key, _FINISH)
        whole = generator.clone(axis_name=None)  # each device finishes all of it

        def settled(stats, key):
            keys = jax.vmap(jax.random.split)(jax.random.split(key, _BLOCK))
            asked = _as_they_are(layout, state.facts.counts, keys[:, 0])
            latent, keys = state.facts.latent, keys[:, 1]
            return generate(state.average, stats, latent, keys, asked, True, whole)[2], None

        stats, _ = jax.lax.scan(settled, state.stats, jax.random.split(jax.random.fold_in(key, 0), _SETTLED))
        state = state._replace(average_stats=stats)
        if not calibrated:
            return state
        keys = jax.random.split(jax.random.fold_in(key, 1), _DRAWN)
        vectors = jax.lax.map(lambda key: draw(state, key, _BLOCK), keys).reshape(-1, layout.width)
        return state._replace(quantiles=_quantiles(layout, vectors, state.facts.quantiles))

    def sample(state: State, key: jax.Array, n: int, asked: jax.Array | None = None):
        vectors = draw(state, key, n, asked)
        return tabular.placed(layout, _moved(layout, vectors, state.quantiles, state.facts.quantiles))

    spans = [(int(layout.order[layout.scalars + at]), size) for at, size in _starts(layout)]
    wants = Wants(kinds=("table",), missing=True, asks=tuple(spans))
    return Method(init, step, encode, sample=sample, finish=finish, wants=wants)


def _starts(layout: tabular.Layout) -> list[tuple[int, int]]:
    """Where each column of categories begins among the one-hots, and its size."""
    first = sum(layout.modes)
    return [(first + sum(layout.sizes[:i]), size) for i, size in enumerate(layout.sizes)]


def _keys(state: State, index: jax.Array | int, n: int, pack: int, axis_name: str | None) -> tuple:
    """A key for each of n rows of the index-th update of a step, `[n]`, and four for each pack, `[n / P, 4]`."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), index)
    for_rows, for_packs = (jax.random.fold_in(key, i) for i in range(2))
    of_packs = example_keys(for_packs, n // pack, axis_name)
    return example_keys(for_rows, n, axis_name), jax.vmap(lambda key: jax.random.split(key, 4))(of_packs)


def _as_they_are(layout: tabular.Layout, counts: jax.Array, keys: jax.Array) -> jax.Array:
    """A column of categories, uniformly, and one of these as frequent as it is: its position among all, `[n]` int32."""
    if not layout.sizes:
        return jnp.zeros(len(keys), jnp.int32)
    offset = jnp.asarray(np.cumsum((0, *layout.sizes[:-1])), jnp.int32)

    def one(key):
        column = jax.random.randint(jax.random.fold_in(key, 0), (), 0, len(layout.sizes))
        category = jax.random.categorical(jax.random.fold_in(key, 1), jnp.log(counts[column]))
        return offset[column] + category.astype(jnp.int32)

    return jax.vmap(one)(keys)


def _facts(kind: Any, layout: tabular.Layout, rows: np.ndarray | None, copula: bool, key: jax.Array) -> Facts:
    """Found on the host, in float64; zeros of the same shapes without rows."""
    most, numbers = max(layout.sizes, default=1), layout.scalars
    shapes = Facts(
        copulas.shapes(layout),
        tabular.View((numbers,), (numbers, numbers)),
        (len(layout.sizes), most),
        (numbers, _QUANTILES),
    )
    if rows is None:
        return jax.tree.map(jnp.zeros, shapes, is_leaf=lambda shape: type(shape) is tuple)
    vectors = rows[:, layout.order]
    counts = [vectors[:, layout.scalars + at :][:, :size].sum(axis=0) for at, size in _starts(layout)]
    counts = [np.pad(count, (0, most - len(count))) for count in counts]
    with jax.ensure_compile_time_eval():
        known = Facts(
            copulas.fit(kind, layout, kind.values(rows), copula=copula),
            tabular.fit_view(layout, np.clip(vectors, -1, 1)),
            np.stack(counts) if counts else np.zeros(shapes.counts),
            _quantiles(layout, vectors, np.zeros(shapes.quantiles, np.float32)),
        )
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float32), known)


def _quantiles(layout: tabular.Layout, vectors: jax.Array, otherwise: jax.Array) -> jax.Array:
    """Of each number that is no single value, in deviations, `[J, Q]`; `otherwise` where there are too few."""
    x, _, slope = tabular.numbers(layout, vectors)
    x = jnp.where(slope > 0, x, jnp.nan)
    found = jnp.nanquantile(x, jnp.linspace(0, 1, _QUANTILES), axis=0).T
    return jnp.where(((slope > 0).sum(axis=0) >= _FEWEST)[:, None], found, otherwise)


def _moved(layout: tabular.Layout, vectors: jax.Array, drawn: jax.Array, real: jax.Array) -> jax.Array:
    """The vectors with every number moved to the same quantile of the real ones; the order of numbers stays."""
    x, mean, slope = tabular.numbers(layout, vectors)
    there = jax.vmap(jnp.interp, (1, 0, 0), 1)(x, drawn, real)
    free = (slope > 0) & (real[:, -1] > real[:, 0])[None]
    scalars = jnp.where(free, (there - mean) / jnp.where(free, slope, 1), vectors[:, : layout.scalars])
    return vectors.at[:, : layout.scalars].set(scalars)


def _check(loss, pack, n_critic, noise_dim, ema, dropout) -> None:
    if loss not in PENALTY:
        raise ValueError(f"loss={loss!r}: choices are {sorted(PENALTY)}")
    for name, value, least in (("pack", pack, 1), ("n_critic", n_critic, 1), ("noise_dim", noise_dim, 0)):
        if value < least:
            raise ValueError(f"{name}={value} must be at least {least}")
    for name, value in (("ema", ema), ("dropout", dropout)):
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must be in [0, 1)")
