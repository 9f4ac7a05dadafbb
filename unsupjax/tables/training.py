r"""The alternating update of a conditional GAN for tables, as a pure function that `lax.scan` repeats."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from unsupjax import losses
from unsupjax.tables import conditions, latent, view
from unsupjax.tables.networks import Layout, TableCritic, TableGenerator, compose, condition_loss

METRICS = ("critic_loss", "critic_gap", "generator_loss", "condition_loss")
PENALTY = {"wasserstein": 10.0, "relativistic": 0.1}


class Settings(NamedTuple):
    """Hyperparameters.

    CTGAN's are loss="wasserstein", pack=10, batch_size=500, dropout=0.5, learning_rate=2e-4 and ema=0, and of `fit`
    copula=False and calibrated=False.

    Attributes:
        steps: updates of the generator, over which the learning rate falls to 0.
        generator_features, critic_features: widths of the hidden layers.
        noise_dim: normal numbers that the generator is given beside the latents.
        batch_size: rows in an update, a multiple of `pack`.
        pack: rows that the critic judges together, which shows it whether they differ.
        dropout: in the critic.
        loss: "relativistic" or "wasserstein".
        penalty: weight of R1 and R2, or of WGAN-GP's penalty; None for 0.1 and for 10.
        critic_steps: updates of the critic before each of the generator.
        learning_rate, weight_decay: of both networks.
        ema: decay of the average of the generator's parameters that samples are drawn with; 0 for the last ones.
    """

    steps: int = 3000
    generator_features: tuple[int, ...] = (256, 256)
    critic_features: tuple[int, ...] = (256, 256)
    noise_dim: int = 32
    batch_size: int = 250
    pack: int = 1
    dropout: float = 0.25
    loss: str = "relativistic"
    penalty: float | None = None
    critic_steps: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    ema: float = 0.999


class Data(NamedTuple):
    """What training reads: vectors `[N, D]`, the rows of each category, the latents' copula, the critic's view."""

    vectors: jax.Array
    conditions: conditions.Conditions
    latent: latent.Latent
    view: view.View


class State(NamedTuple):
    """Parameters of both networks, the generator's batch statistics and its moving average."""

    step: jax.Array
    generator: Any
    stats: Any
    critic: Any
    opt_generator: optax.OptState
    opt_critic: optax.OptState
    ema: Any


def networks(layout: Layout, settings: Settings) -> tuple[TableGenerator, TableCritic]:
    """Both modules."""
    width = sum(layout.modes) + sum(layout.hots)
    generator = TableGenerator(width, settings.generator_features)
    return generator, TableCritic(settings.critic_features, settings.dropout)


def optimizer(settings: Settings, each: int = 1) -> optax.GradientTransformation:
    """Adam(0.5, 0.9) with a little weight decay in the gradient, as CTGAN's, of `each` updates a step.

    Its rate falls linearly to 0.
    """
    rate = optax.linear_schedule(settings.learning_rate, 0.0, settings.steps * each)
    decay = optax.add_decayed_weights(settings.weight_decay)
    return optax.chain(decay, optax.adam(rate, b1=0.5, b2=0.9))


def init(layout: Layout, settings: Settings, key: jax.Array, data: Data) -> State:
    """The state before the first step."""
    generator, critic = networks(layout, settings)
    for_generator, for_critic = jax.random.split(key)
    inputs = len(layout.hots) + settings.noise_dim + sum(layout.categories)
    variables = generator.init(for_generator, jnp.zeros((1, inputs)))
    empty = jnp.zeros((settings.pack, layout.width)), jnp.zeros((settings.pack, sum(layout.categories)))
    seen = view.see(data.view, layout, *empty)
    params, critic_params = variables["params"], critic.init(for_critic, seen[None])["params"]
    opt_states = (
        optimizer(settings).init(params),
        optimizer(settings, settings.critic_steps).init(critic_params),
    )
    step = jnp.zeros((), jnp.int32)
    return State(step, params, variables["batch_stats"], critic_params, *opt_states, params)


def generate(
    layout: Layout,
    settings: Settings,
    params: Any,
    stats: Any,
    prior: latent.Latent,
    key: jax.Array,
    asked: jax.Array,
    train: bool,
) -> tuple[jax.Array, jax.Array, Any]:
    """Vectors `[B, D]` with the categories `asked` `[B]` (ignored where there are none), logits and new statistics."""
    generator, _ = networks(layout, settings)
    for_scores, for_noise, for_hots = jax.random.split(key, 3)
    n, categories = len(asked), sum(layout.categories)
    z = latent.draw(prior, for_scores, n, asked if categories else None)
    noise = jax.random.normal(for_noise, (n, settings.noise_dim))
    inputs = jnp.concatenate([z, noise, jax.nn.one_hot(asked, categories)], axis=1)
    variables = {"params": params, "batch_stats": stats}
    raw, new = generator.apply(variables, inputs, train, mutable=["batch_stats"])
    vectors, logits = compose(layout, for_hots, raw, latent.start(prior, z), prior.spread)
    return vectors, logits, new["batch_stats"]


def step(layout: Layout, settings: Settings, key: jax.Array, data: Data, state: State):
    """One update of the generator after `critic_steps` of the critic: the new state, and `METRICS` as an array."""
    keys = jax.random.split(jax.random.fold_in(key, state.step), settings.critic_steps + 1)
    for k in keys[:-1]:
        state, critic_metrics = _critic_step(layout, settings, k, data, state)
    state, generator_metrics = _generator_step(layout, settings, keys[-1], data, state)
    return state._replace(step=state.step + 1), jnp.stack([*critic_metrics, *generator_metrics])


@functools.partial(jax.jit, static_argnums=(0, 1, 5))
def train(layout: Layout, settings: Settings, key: jax.Array, data: Data, state: State, steps: int):
    """`steps` updates in one compiled loop: the new state, and metrics `[steps, len(METRICS)]`."""
    return jax.lax.scan(lambda s, _: step(layout, settings, key, data, s), state, length=steps)


@functools.partial(jax.jit, static_argnums=(0, 1))
def settle(layout: Layout, settings: Settings, key: jax.Array, data: Data, params: Any, stats: Any) -> Any:
    """Batch statistics of `params`, which are an average and so had none of their own: over 100 batches of 1,000."""

    def body(stats, key):
        for_asked, for_rows = jax.random.split(key)
        asked = ask(data.conditions, for_asked, 1000)
        return generate(layout, settings, params, stats, data.latent, for_rows, asked, True)[2], None

    return jax.lax.scan(body, stats, jax.random.split(key, 100))[0]


@functools.partial(jax.jit, static_argnums=(0, 1, 5))
def sample(layout: Layout, settings: Settings, key: jax.Array, model: tuple, asked: jax.Array | None, n: int):
    """Vectors `[n, D]` of a model (params, stats, latent, conditions), with the categories `asked` or drawn ones."""
    params, stats, prior, found = model
    for_asked, for_rows = jax.random.split(key)
    asked = ask(found, for_asked, n) if asked is None else asked
    return generate(layout, settings, params, stats, prior, for_rows, asked, False)[0]


def ask(found: conditions.Conditions, key: jax.Array, n: int) -> jax.Array:
    """Categories to ask for in sampling, `[n]` int32; zeros where there are no discrete columns."""
    if not len(found.offset):
        return jnp.zeros(n, jnp.int32)
    return jax.vmap(functools.partial(conditions.draw_as_is, found))(jax.random.split(key, n))


def _batch(layout, settings, key, data):
    """Categories asked for, and real rows that have them."""
    n = settings.batch_size
    if not layout.categories:
        return jnp.zeros(n, jnp.int32), data.vectors[jax.random.randint(key, (n,), 0, len(data.vectors))]
    draw = functools.partial(conditions.draw, data.conditions)
    asked, rows = jax.vmap(draw)(jax.random.split(key, n))
    return asked, data.vectors[rows]


def _packs(layout, settings, data, vectors, asked):
    """What the critic sees, `[B / P, P, E]`."""
    seen = view.see(data.view, layout, vectors, jax.nn.one_hot(asked, sum(layout.categories)))
    return seen.reshape(-1, settings.pack, seen.shape[1])


def _critic_step(layout, settings, key, data, state):
    _, critic = networks(layout, settings)
    for_rows, for_fake, for_dropout, for_penalty = jax.random.split(key, 4)
    asked, real = _batch(layout, settings, for_rows, data)
    fake, *_ = generate(layout, settings, state.generator, state.stats, data.latent, for_fake, asked, True)
    real, fake = (_packs(layout, settings, data, x, asked) for x in (real, fake))
    loss = losses.GAN_LOSSES[settings.loss].discriminator

    def objective(params):
        def logits(x, i):
            rngs = {"dropout": jax.random.fold_in(for_dropout, i)}
            return critic.apply({"params": params}, x, True, rngs=rngs)

        gap = loss(logits(real, 0), logits(fake, 1)).mean()
        return gap + _penalty(settings, lambda x: logits(x, 2), real, fake, for_penalty), gap

    (value, gap), gradient = jax.value_and_grad(objective, has_aux=True)(state.critic)
    tx = optimizer(settings, settings.critic_steps)
    updates, opt_state = tx.update(gradient, state.opt_critic, state.critic)
    params = optax.apply_updates(state.critic, updates)
    return state._replace(critic=params, opt_critic=opt_state), (value, gap)


def _penalty(settings, critic, real, fake, key):
    """WGAN-GP where the loss is Wasserstein's, the sum of R1 and R2 halved otherwise; of packs."""
    weight = PENALTY[settings.loss] if settings.penalty is None else settings.penalty
    if settings.loss == "wasserstein":
        return weight * losses.wgan_gp(critic, real, fake, jax.random.split(key, len(real))).mean()
    r1, r2 = (losses.gradient_norm2(critic, x).mean() for x in (real, fake))
    return weight / 2 * (r1 + r2)


def _generator_step(layout, settings, key, data, state):
    _, critic = networks(layout, settings)
    for_rows, for_fake, for_dropout = jax.random.split(key, 3)
    asked, real = _batch(layout, settings, for_rows, data)
    condition = jax.nn.one_hot(asked, sum(layout.categories))

    def logits(x):
        packs = _packs(layout, settings, data, x, asked)
        return critic.apply({"params": state.critic}, packs, True, rngs={"dropout": for_dropout})

    def objective(params):
        new = generate(layout, settings, params, state.stats, data.latent, for_fake, asked, True)
        vectors, found, stats = new
        adversarial = losses.GAN_LOSSES[settings.loss].generator(logits(real), logits(vectors)).mean()
        conditional = condition_loss(layout, found, condition).mean()
        return adversarial + conditional, (stats, adversarial, conditional)

    gradient, (stats, *metrics) = jax.grad(objective, has_aux=True)(state.generator)
    updates, opt_state = optimizer(settings).update(gradient, state.opt_generator, state.generator)
    params = optax.apply_updates(state.generator, updates)
    ema = jax.tree.map(lambda a, b: settings.ema * a + (1 - settings.ema) * b, state.ema, params)
    return state._replace(generator=params, stats=stats, opt_generator=opt_state, ema=ema), metrics
