"""DINO: a student learns which prototypes its teacher, a moving average of it, sees in another view."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.errors import ScopeParamShapeError

from unsupjax import losses
from unsupjax.augment import InBatch
from unsupjax.methods.base import Method, update
from unsupjax.methods.parts.stack import stack
from unsupjax.methods.parts.teacher import copied, cosine_momentum, moved
from unsupjax.methods.parts.views import diagnose, health, local_views, two_views
from unsupjax.models import Prototypes
from unsupjax.parallel.collectives import pmean

_SAME = 0.01  # of a divergence or a lack of entropy, as a share of the largest entropy: as good as none


class State(NamedTuple):
    """The state; `params`, `stats` and those of the teacher hold "encoder", "projector" and "prototypes".

    `center` is the running mean of the teacher's logits, `[K]`.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    stats: Any
    opt_state: optax.OptState
    teacher_params: Any
    teacher_stats: Any
    center: jax.Array


def dino(
    encoder: nn.Module,
    projector: nn.Module,
    tx: optax.GradientTransformation,
    *,
    augment: Callable | InBatch,
    total_steps: int,
    prototypes: int = 1024,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.07,
    first_teacher_temperature: float = 0.04,
    warmup: float = 0.3,
    center_momentum: float = 0.9,
    momentum: float = 0.99,
    local_count: int = 0,
    local_area: tuple[float, float] = (0.05, 0.4),
    local_size: int = 0,
    axis_name: str | None = None,
) -> Method:
    r"""Minimises `losses.dino` of the student's view and the teacher's, the mean over all pairs of different views.

    Logits are the cosines of projections with K prototypes, a weight-normalised last layer. The teacher sees the two
    views of `augment`, the student these and `local_count` small parts of further ones: their surroundings are what it
    learns to tell. The teacher encodes in training mode, each view with batch statistics of its own (the student's
    local views share theirs); no gradient reaches it. After each optimizer update it moves towards the student; its
    momentum rises from `momentum` to 1 at the last step. Against one prototype for all, its logits are centred by
    their running mean over both views of the global batches before this one, :math:`c \leftarrow m c + (1 - m) \bar
    t`; against all prototypes alike they are sharpened. The last layer learns from the first step.

    Args:
        encoder, projector: Linen modules `module(x, train)`, `[B, ...] -> [B, H]` and `[B, H] -> [B, D]`.
        tx: the optimizer; the paper clips gradients.
        augment: `(key, example) -> (x1, x2)`, a policy of `unsupjax.augment`.
        total_steps: of the run, micro-steps counted.
        prototypes: K, the width of the last layer; the paper has 65,536 for ImageNet.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's after the warm-up; lower than the student's.
        first_teacher_temperature: of the teacher's at the start, from where it rises linearly.
        warmup: share of the run in which it rises.
        center_momentum: m, in [0, 1).
        momentum: of the teacher at the start, in [0, 1]; 0.996 for long runs.
        local_count: further views of an example, of images; 0: none.
        local_area: lowest and highest share of a view that a local one covers.
        local_size: height and width of the local views, pixels; 0: those of the images, for networks that take one
            size alone. Smaller ones cost less, of networks that take any.
        axis_name: the mapped device axis under `pmap` or `shard_map`; the modules' batch norm names it too.

    `finish` puts the teacher in the student's place, as the paper judges it; `encode` gives the features of the
    encoder, batch norm in evaluation mode. Metrics beside those of the embeddings (here logits): the mean entropy of
    the teacher's probabilities and their Kullback-Leibler divergence from the student's (nats), and how many
    prototypes the teacher uses, the exponential of the entropy of its mean probabilities over the batch.

    Raises:
        ValueError: an argument out of its range; local views of what are no images, of a policy that draws from other
            examples, or of a size that the encoder does not take.

    Source: Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021.
    """
    temperatures = {
        "student_temperature": student_temperature,
        "teacher_temperature": teacher_temperature,
        "first_teacher_temperature": first_teacher_temperature,
    }
    _check(temperatures, prototypes, warmup, center_momentum, momentum)
    _check_local(augment, local_count, local_area, local_size)
    networks = stack(encoder=encoder, projector=projector, prototypes=Prototypes(prototypes))
    size = lambda x: (local_size, local_size) if local_size else x.shape[1:3]

    def init(key, batch):
        params, stats = networks.init(key, batch)
        if local_count:
            _check_encoder(lambda x: networks.features(params, stats, x), batch, size)
        teacher = (copied(tree) for tree in (params, stats))
        fresh = jnp.zeros((), jnp.int32), key, params, stats, tx.init(params)
        return State(*fresh, *teacher, center=jnp.zeros(prototypes))

    def logits_of(params, stats, views, local):
        """The logits of each view, `[B, K]`."""
        logits = []
        for x in views:
            z, stats = networks.forward(params, stats, x)
            logits.append(z)
        if local is not None:
            z, stats = networks.forward(params, stats, local.reshape(-1, *local.shape[2:]))
            z = z.reshape(*local.shape[:2], -1)
            logits += [z[:, i] for i in range(local_count)]
        return logits, stats

    def step(state: State, x: jax.Array):
        key, local_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        views, local = two_views(augment, key, x, axis_name), None
        if local_count:
            local = local_views(augment, local_key, x, local_count, local_area, size(x), axis_name)
        teachers, teacher_stats = logits_of(state.teacher_params, state.teacher_stats, views, None)
        rise = jnp.clip(state.step / max(warmup * total_steps, 1), 0, 1)
        temperature = first_teacher_temperature + rise * (teacher_temperature - first_teacher_temperature)
        settings = {"student_temperature": student_temperature, "teacher_temperature": temperature}

        def loss(params):
            logits, stats = logits_of(params, state.stats, views, local)
            pairs = [(s, t) for i, t in enumerate(teachers) for j, s in enumerate(logits) if i != j]
            values = [losses.dino(s, t, state.center, **settings).mean() for s, t in pairs]
            return sum(values) / len(values), (health(logits[0], teachers[1], axis_name), stats)

        value, (metrics, stats), params, opt_state = update(
            loss, state.params, state.opt_state, tx, axis_name
        )
        tau = cosine_momentum(momentum, state.step, total_steps)
        teacher_params = moved(state.teacher_params, params, tau, opt_state)
        mean = pmean(sum(t.mean(axis=0) for t in teachers) / 2, axis_name)
        center = center_momentum * state.center + (1 - center_momentum) * mean
        metrics |= _certainty(value, teachers, state.center, temperature, axis_name)
        state = State(
            state.step + 1, state.key, params, stats, opt_state, teacher_params, teacher_stats, center
        )
        told = {"loss": value, "teacher_momentum": tau, "teacher_temperature": temperature}
        return state, told | metrics

    def encode(state: State, x: jax.Array):
        return networks.features(state.params, state.stats, x)

    def finish(state: State):
        return state._replace(params=copied(state.teacher_params), stats=copied(state.teacher_stats))

    def views(key: jax.Array, x: jax.Array):
        return two_views(augment, key, x, None)

    said = lambda metrics: _diagnose(metrics, prototypes)
    return Method(init, step, encode, views=views, finish=finish, diagnose=said)


def _certainty(loss, teachers, center, temperature, axis_name):
    """How sure the teacher is of each example, how it divides them among prototypes, and the student's distance."""
    entropy = lambda p: jax.scipy.special.entr(p).sum(axis=-1)
    targets = jnp.concatenate([losses.dino_targets(t, center, temperature) for t in teachers])
    each, mean = pmean((entropy(targets).mean(), targets.mean(axis=0)), axis_name)
    return {
        "teacher_entropy": each,
        "teacher_divergence": loss - each,
        "prototypes_used": jnp.exp(entropy(mean)),
    }


def _diagnose(metrics: dict[str, float], prototypes: int) -> str | None:
    """Says so where all examples have the same probabilities, be they of all prototypes or of one."""
    most = math.log(prototypes)
    if metrics["teacher_divergence"] < _SAME * most and metrics["teacher_entropy"] > (1 - _SAME) * most:
        return (
            f"the teacher finds every prototype as likely as any other, whatever it sees (teacher_entropy "
            f"{metrics['teacher_entropy']:.3g} of at most {most:.3g} nats). Lower teacher_temperature and "
            "first_teacher_temperature, or the learning rate"
        )
    if math.log(metrics["prototypes_used"]) < _SAME * most:
        return (
            f"the teacher puts all examples to one prototype (prototypes_used {metrics['prototypes_used']:.3g} of "
            f"{prototypes}). Lower center_momentum, raise teacher_temperature, or lower the learning rate"
        )
    return diagnose(metrics)


def _check(temperatures, prototypes, warmup, center_momentum, momentum):
    for name, value in temperatures.items():
        if not value > 0:
            raise ValueError(f"{name}={value} must be above 0")
    if prototypes < 2:
        raise ValueError(f"{prototypes=} must be at least 2: of one alone all probabilities are 1")
    if not 0 <= center_momentum < 1:
        raise ValueError(f"{center_momentum=} must lie in [0, 1): with 1 the centre stays 0")
    for name, value in (("warmup", warmup), ("momentum", momentum)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} must lie in [0, 1]")


def _check_local(augment, count, area, size):
    for name, value in (("local_count", count), ("local_size", size)):
        if value < 0:
            raise ValueError(f"{name}={value} must not be negative")
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"local_area={tuple(area)}: lowest and highest share, 0 < low <= high <= 1")
    if size and not count:
        raise ValueError(f"local_size={size} has no effect without local views; set local_count")
    if count and isinstance(augment, InBatch):
        raise ValueError(
            f"local_count={count}: a policy that draws from other examples has no local views; set it to 0"
        )


def _check_encoder(features, batch, size):
    if batch.ndim != 4:
        raise ValueError(
            f"local views are of images [B, H, W, C], and examples have the shape {batch.shape[1:]}"
        )
    local = jax.ShapeDtypeStruct((1, *size(batch), batch.shape[3]), batch.dtype)
    try:
        jax.eval_shape(features, local)
    except ScopeParamShapeError as error:
        raise ValueError(
            f"the encoder takes images of {batch.shape[1]} x {batch.shape[2]} alone; leave local_size at 0"
        ) from error
