"""Generative adversarial networks: a generator and a discriminator, updated in turn."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from unsupjax import augment, losses
from unsupjax.methods.base import Method, Wants, update
from unsupjax.methods.parts.adversaries import adversaries, diversity
from unsupjax.methods.parts.latents import between
from unsupjax.methods.parts.teacher import copied, moved
from unsupjax.numerics.spectral import power_iteration
from unsupjax.parallel.collectives import divided_like, example_keys, interleaved, parted, pmean

PENALTIES = {  # (critic, real, fake, keys) -> [B]
    "wgan_gp": losses.wgan_gp,
    "r1": lambda critic, real, fake, keys: losses.gradient_norm2(critic, real) / 2,
    "r2": lambda critic, real, fake, keys: losses.gradient_norm2(critic, fake) / 2,
    "r1_r2": lambda critic, real, fake, keys: (
        (losses.gradient_norm2(critic, real) + losses.gradient_norm2(critic, fake)) / 2
    ),
}
BATCHES = ("separate", "joint")
_COLLAPSED, _EXPLODED = 0.05, 1e5  # of diversity and of the losses
_WON = (0.9995, 20.0)  # accuracy, and how far real logits are above those of samples


class State(NamedTuple):
    """The state of a GAN: parameters, batch statistics (`*_stats`), spectral norm's vectors and two optimizers.

    `average` is the moving average of the generator's parameters, and `average_stats` are its own batch statistics.
    """

    step: jax.Array
    key: jax.Array
    generator: Any
    generator_stats: Any
    discriminator: Any
    discriminator_stats: Any
    spectral: Any
    opt_g: optax.OptState
    opt_d: optax.OptState
    average: Any
    average_stats: Any


UPDATES = {
    "tx_d": "n_critic"
}  # optimizer that makes several updates a step -> the argument that says how many


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    tx_g: optax.GradientTransformation,
    tx_d: optax.GradientTransformation,
    *,
    loss: str = "non_saturating",
    penalty: str = "",
    penalty_weight: float = 10.0,
    penalty_every: int = 1,
    n_critic: int = 1,
    latent_dim: int = 64,
    ema: float = 0.999,
    diff_augment: tuple = (),
    batches: str = "separate",
    labels: int = 0,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises a pair of `losses.GAN_LOSSES`: `n_critic` updates of the discriminator, then one of the generator.

    A batch is divided into `n_critic` parts, and each update of the discriminator sees a part of its own and as many
    samples. Spectral norm's power iteration runs once for each of these updates and rests in everything else. The
    updates of the discriminator minimise :math:`L_D + \lambda R`, R one of

    - "wgan_gp": :math:`(\|\nabla_{\hat x} D(\hat x)\| - 1)^2` between real examples and samples;
    - "r1", "r2", "r1_r2": :math:`\frac12 \|\nabla_x D(x)\|^2` at real examples, at samples, at both.

    With `penalty_every=k` every k-th update has k times the penalty, and the others do not compute it. (On CPUs XLA's
    plain convolutions, as of SNGAN, are far slower inside such a branch; those of the other networks are not.)

    Args:
        generator: Linen module `(z [B, latent_dim], label, train) -> x`.
        discriminator: Linen module `(x, label, train, features) -> logits [B]`.
        tx_g, tx_d: the optimizers.
        loss: one of `losses.GAN_LOSSES`.
        penalty: "" for none; it needs a discriminator whose answer for an example depends on no other: no batch norm.
        penalty_weight: :math:`\lambda`.
        penalty_every: k.
        n_critic: updates of the discriminator in a step.
        latent_dim: of z, a standard normal.
        ema: of the generator's average, which samples; it rises to this as :math:`(1 + t) / (10 + t)`.
        diff_augment: changes that the discriminator sees real examples and samples through, of
            `unsupjax.augment.diff_augment`.
        batches: a discriminator with batch norm sees real examples and samples as "separate" batches, as in DCGAN
            (which tells it what each batch is), or as one ("joint").
        labels: number of classes of a conditional GAN, whose batches are pairs `(x, label)`: labels are an input
            of this model alone. 0: unconditional. Samples are of class i mod labels.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    Batch statistics are of the global batch. `sample` draws from the average. `encode` gives the discriminator's
    features before its last layer, in evaluation mode.

    Metrics: `loss` and `generator_loss`; `discriminator_accuracy`, how often a real example is above a sample;
    `diversity` of samples as a multiple of the data's; mean logits and the penalty.

    Raises:
        ValueError: an argument that is none of its choices; at `init`, a penalty on a discriminator that mixes
            examples; at `step`, a batch that n_critic does not divide.

    Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Zhao et al., "Differentiable augmentation
    for data-efficient GAN training", NeurIPS 2020; the losses and penalties name theirs.
    """
    _check(loss, penalty, penalty_weight, penalty_every, n_critic, ema, batches, latent_dim, labels)
    augment.check_ops(diff_augment)
    if labels:
        generator, discriminator = generator.clone(classes=labels), discriminator.clone(classes=labels)
    pair, networks = losses.GAN_LOSSES[loss], adversaries(generator, discriminator)

    def init(key, batch):
        x, label = _parts(batch)
        z = jnp.zeros((x.shape[0], latent_dim))
        g, g_stats, d, d_stats, spectral = networks.init(key, z, x, label)
        if penalty:
            _check_penalised(discriminator, bool(d_stats), x.shape[1:], labels)
        zero = jnp.zeros((), jnp.int32)
        return State(
            zero,
            key,
            g,
            g_stats,
            d,
            d_stats,
            spectral,
            tx_g.init(g),
            tx_d.init(d),
            copied(g),
            copied(g_stats),
        )

    def augmented(keys, x):
        if not diff_augment:
            return x
        return jax.vmap(lambda key, x: augment.diff_augment(key, x, diff_augment))(keys, x)

    def latents(keys):
        return jax.vmap(lambda key: jax.random.normal(key, (latent_dim,)))(keys)

    def judged(params, stats, spectral, real, fake, label):
        """Logits of both, and the moved batch statistics."""
        if batches == "joint":
            both = None if label is None else interleaved(label, label)
            logits, stats = networks.judge(params, stats, spectral, interleaved(real, fake), both)
            return *parted(logits), stats
        real_logits, stats = networks.judge(params, stats, spectral, real, label)
        fake_logits, stats = networks.judge(params, stats, spectral, fake, label)
        return real_logits, fake_logits, stats

    def penalised(params, spectral, real, fake, label, keys, due):
        critic = lambda x: networks.judge(params, {}, spectral, x, label)[0]
        value = lambda: penalty_every * PENALTIES[penalty](critic, real, fake, keys).mean()
        if penalty_every == 1:
            return value()
        zero = lambda: 0 * real.ravel()[0]  # varies over devices, as the value does
        return jax.lax.cond(due, value, zero)

    def discriminator_update(state, x, label, index):
        keys = _keys(state, index, x.shape[0], axis_name)
        fake, _ = networks.generate(state.generator, state.generator_stats, latents(keys[:, 0]), label)
        real, fake = augmented(keys[:, 1], x), augmented(keys[:, 2], fake)
        spectral = power_iteration(state.discriminator, state.spectral)
        due = (state.step * n_critic + index) % penalty_every == 0

        def objective(params):
            real_logits, fake_logits, stats = judged(
                params, state.discriminator_stats, spectral, real, fake, label
            )
            value = pair.discriminator(real_logits, fake_logits).mean()
            metrics = {
                "discriminator_accuracy": (real_logits > fake_logits).mean(),
                "real_logit": real_logits.mean(),
                "fake_logit": fake_logits.mean(),
            }
            if penalty:
                metrics["penalty"] = penalised(params, spectral, real, fake, label, keys[:, 3], due)
                value = value + penalty_weight * metrics["penalty"]
            return value, (metrics, stats)

        value, (metrics, stats), params, opt_d = update(
            objective, state.discriminator, state.opt_d, tx_d, axis_name
        )
        state = state._replace(
            discriminator=params, discriminator_stats=stats, spectral=spectral, opt_d=opt_d
        )
        return state, {"loss": value} | metrics

    def generator_update(state, x, label):
        keys = _keys(state, n_critic, x.shape[0], axis_name)
        # Where the loss judges no real examples nothing else tells that samples belong to the divided batch.
        z = divided_like(latents(keys[:, 0]), x, axis_name)
        real = augmented(keys[:, 1], x)

        def objective(params):
            fake, stats = networks.generate(params, state.generator_stats, z, label)
            spread = diversity(jax.lax.stop_gradient(fake), x, lambda tree: pmean(tree, axis_name))
            d = (state.discriminator, state.discriminator_stats, state.spectral)
            if pair.uses_real or batches == "joint":
                real_logits, fake_logits, _ = judged(*d, real, augmented(keys[:, 2], fake), label)
            else:
                fake_logits, _ = networks.judge(*d, augmented(keys[:, 2], fake), label)
                real_logits = jnp.zeros_like(fake_logits)
            return pair.generator(real_logits, fake_logits).mean(), ({"diversity": spread}, stats)

        value, (metrics, stats), params, opt_g = update(
            objective, state.generator, state.opt_g, tx_g, axis_name
        )
        momentum = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
        average = moved(state.average, params, momentum, opt_g)
        average_stats = networks.generate(average, state.average_stats, z, label)[1] if stats else stats
        state = state._replace(generator=params, generator_stats=stats, opt_g=opt_g)
        state = state._replace(average=average, average_stats=average_stats)
        return state, {"generator_loss": value} | metrics

    def step(state: State, batch):
        x, label = _parts(batch)
        if x.shape[0] % n_critic:
            raise ValueError(f"n_critic={n_critic} does not divide the {x.shape[0]} examples on a device")
        # Every n_critic-th example, so that each device keeps its own.
        divided = jax.tree.map(lambda a: a.reshape(-1, n_critic, *a.shape[1:]).swapaxes(0, 1), (x, label))
        one = lambda state, part: discriminator_update(state, *part[0], part[1])
        # Unrolled whole (0) on CPU: XLA runs gradients of its convolutions far slower there inside a loop, even of 1.
        unroll = 0 if jax.default_backend() == "cpu" else 1
        state, metrics = jax.lax.scan(one, state, (divided, jnp.arange(n_critic)), unroll=unroll)
        state, more = generator_update(state, *jax.tree.map(lambda a: a[-1], divided))
        metrics = jax.tree.map(lambda m: m.mean(), metrics) | more
        return state._replace(step=state.step + 1), metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.discriminator, state.discriminator_stats, state.spectral, x)

    def draw(state, z):
        classes = jnp.arange(len(z)) % labels if labels else None
        return networks.draw(state.average, state.average_stats, z, classes)

    def sample(state: State, key: jax.Array, n: int):
        return draw(state, latents(example_keys(key, n, None)))

    def interpolate(state: State, key: jax.Array, n: int, steps: int):
        a, b = jnp.split(latents(example_keys(key, 2 * n, None)), 2)
        z = between(a, b, steps)
        classes = jnp.repeat(jnp.arange(n) % labels, steps) if labels else None
        x = networks.draw(state.average, state.average_stats, z.reshape(n * steps, latent_dim), classes)
        return x.reshape(n, steps, *x.shape[1:])

    return Method(
        init,
        step,
        encode,
        sample=sample,
        interpolate=interpolate,
        diagnose=diagnose,
        wants=Wants(labels=labels, unit_interval=_unit_interval(generator)),
    )


def diagnose(metrics: dict[str, float]) -> str | None:
    """Says so where samples have become all alike, the discriminator has won, or the losses run away."""
    worst = max(abs(metrics["loss"]), abs(metrics["generator_loss"]))
    if metrics["diversity"] < _COLLAPSED:
        return (
            f"the generator has collapsed: its samples are nearly all the same (diversity {metrics['diversity']:.2g}, "
            "that of the data is 1). Lower the learning rates, or add a penalty or raise its weight: "
            "config.method.penalty, penalty_weight"
        )
    if worst > _EXPLODED:
        return (
            f"the losses run away (up to {worst:.2g}). Lower the learning rates, or add a penalty or raise its weight: "
            "config.method.penalty, penalty_weight"
        )
    gap = metrics["real_logit"] - metrics["fake_logit"]
    if metrics["discriminator_accuracy"] > _WON[0] and gap > _WON[1]:
        return (
            "the discriminator tells every sample from the data: the generator may no longer learn from it. Lower "
            "the discriminator's learning rate, raise config.method.penalty_weight, or set config.method.diff_augment"
        )
    return None


def _parts(batch) -> tuple[jax.Array, jax.Array | None]:
    return batch if isinstance(batch, tuple) else (batch, None)


def _keys(state: State, index: jax.Array | int, n: int, axis_name: str | None) -> jax.Array:
    """Four keys for each of n examples of the index-th update of a step, `[n, 4]`."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), index)
    return jax.vmap(lambda key: jax.random.split(key, 4))(example_keys(key, n, axis_name))


def _unit_interval(generator: nn.Module) -> tuple[str, ...]:
    """Generators of images end in [0, 1]: data of another range they can only miss, which looks like a collapse."""
    free = getattr(generator, "output", "unit") == "identity"
    mend = "scale the data, or take a generator whose output is 'identity'"
    return () if free else ("generator, whose samples lie there,", mend)


def _check(loss, penalty, weight, every, n_critic, ema, batches, latent_dim, labels) -> None:
    choices = {
        "loss": (loss, losses.GAN_LOSSES),
        "penalty": (penalty, ("", *PENALTIES)),
        "batches": (batches, BATCHES),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"{name}={value!r}; one of {', '.join(map(repr, known))}")
    for name, value in {"penalty_every": every, "n_critic": n_critic, "latent_dim": latent_dim}.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    if not (0 <= ema < 1 and weight >= 0 and labels >= 0):
        raise ValueError(f"ema={ema} must lie in [0, 1), penalty_weight={weight} and labels={labels} from 0")


def _check_penalised(discriminator: nn.Module, has_batch_stats: bool, shape: tuple, labels: int) -> None:
    """Refuses a discriminator whose gradient at one example is not its own: `grad(sum D)` would be wrong for it."""
    if has_batch_stats:
        raise ValueError(
            "a gradient penalty needs a discriminator without batch norm: its answer for an example depends on the "
            "others of the batch; take norm 'none' or 'spectral'"
        )
    with jax.ensure_compile_time_eval():
        label = lambda n: jnp.zeros(n, jnp.int32) if labels else None
        variables = jax.jit(discriminator.init)(jax.random.key(0), jnp.zeros((2, *shape)), label(2))
        critic = jax.jit(lambda x: discriminator.apply(variables, x, label(len(x)), train=True))
        losses.check_independent(critic, shape)
