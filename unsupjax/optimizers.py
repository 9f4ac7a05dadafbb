"""Optimizers and learning-rate schedules by name, each with plain defaults that a config can hold."""

import math

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, scale_by_muon


def _rise(peak: float, total_steps: int, warmup: float, end: float = 0.0) -> int:
    """The steps of the warm-up; ValueError for a rate, a warm-up or an end that is none."""
    if not 0 <= peak < float("inf"):
        raise ValueError(f"learning_rate={peak} must be finite and at least 0")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup={warmup} is a fraction of the steps: at least 0 and less than 1")
    if not 0 <= end < float("inf"):
        raise ValueError(f"end={end} is a factor of the learning rate: at least 0")
    return round(warmup * total_steps)


def constant(peak: float, total_steps: int, *, warmup: float = 0.0) -> optax.Schedule:
    """`peak`, after a linear rise from 0 over the first `warmup` (a fraction, in [0, 1)) of the steps."""
    rise = _rise(peak, total_steps, warmup)
    return optax.warmup_constant_schedule(
        init_value=0.0 if warmup else peak, peak_value=peak, warmup_steps=rise
    )


def cosine(peak: float, total_steps: int, *, warmup: float = 0.0, end: float = 0.0) -> optax.Schedule:
    """The same rise, then half a cosine from `peak` to `end * peak` at the last step.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else peak,
        peak_value=peak,
        # Of a run of a step or two, rounding may leave none for the decay.
        warmup_steps=min(_rise(peak, total_steps, warmup, end), total_steps - 1),
        decay_steps=total_steps,
        end_value=end * peak,
    )


def linear(peak: float, total_steps: int, *, warmup: float = 0.0, end: float = 0.0) -> optax.Schedule:
    """The same rise, then a line from `peak` to `end * peak` at the last step."""
    rise = _rise(peak, total_steps, warmup, end)
    fall = optax.linear_schedule(peak, end * peak, total_steps - rise)
    return optax.join_schedules([optax.linear_schedule(0.0, peak, rise), fall], [rise]) if rise else fall


def wsd(
    peak: float, total_steps: int, *, warmup: float = 0.0, decay: float = 0.2, end: float = 0.0
) -> optax.Schedule:
    """The same rise, then `peak`, and over the last `decay` of the steps (a fraction) a line to `end * peak`.

    A run that is to be longer goes on from a checkpoint before the decay, with nothing lost.

    Source: Hu et al., "MiniCPM: unveiling the potential of small language models with scalable training strategies",
    2024.
    """
    rise = _rise(peak, total_steps, warmup, end)
    if not 0 <= decay <= 1 - warmup:
        raise ValueError(
            f"decay={decay} is a fraction of the steps: at least 0, and with warmup={warmup} at most 1"
        )
    fall = max(total_steps - round(decay * total_steps), rise)

    def rate(count):
        up = jnp.clip(count / rise, 0, 1) if rise else 1.0
        down = jnp.clip((count - fall) / (total_steps - fall), 0, 1) if fall < total_steps else 0.0
        return peak * up * (1 + (end - 1) * down)

    return rate


def _names(path) -> list[str]:
    return [str(getattr(part, "key", part)) for part in path]


def kernels(params):
    """Which parameters decay: a tree of booleans, True for arrays of two axes or more that are not frozen.

    Biases, and gamma and beta of norms, have one axis. Parameters whose name, or that of a module around them,
    begins with "frozen" have no gradient: decay alone would shrink them.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.ndim(x) > 1 and not any(name.startswith("frozen") for name in _names(path)),
        params,
    )


def sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    r"""Stochastic gradient descent, :math:`m \leftarrow \mu m + g + \lambda w`, :math:`w \leftarrow w - \alpha m`.

    Args:
        learning_rate: :math:`\alpha`, outside the momentum.
        momentum: :math:`\mu`.
        nesterov: the step is :math:`g + \lambda w + \mu m`, of the new m.
        weight_decay: :math:`\lambda`, of `kernels` alone.
    """
    descent = optax.sgd(learning_rate, momentum or None, nesterov)
    return optax.chain(optax.add_decayed_weights(weight_decay, kernels), descent) if weight_decay else descent


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """`optax.adamw` whose decay, times the learning rate, is of `kernels` alone.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    return optax.adamw(
        learning_rate, b1, b2, eps, eps_root, weight_decay=weight_decay, mask=kernels, nesterov=nesterov
    )


def lars(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 1e-6,
    trust_coefficient: float = 1e-3,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    r"""Layer-wise adaptive rates: each array's step is in proportion to its norm.

    .. math:: d = g + \lambda w, \quad m \leftarrow \mu m + \alpha \eta \frac{|w|}{|d|} d, \quad w \leftarrow w - m

    The ratio is 1 where a norm is 0. Arrays that are no `kernels`, the biases and the parameters of norms, are
    neither decayed nor adapted: :math:`m \leftarrow \mu m + \alpha g`. The learning rate stands inside the momentum
    buffer, as in the paper and in SimCLR's code; the code of BYOL and of MoCo v3 multiplies the buffer by it on the
    way out, which differs while it changes.

    Args:
        learning_rate: :math:`\alpha`.
        momentum: :math:`\mu`.
        weight_decay: :math:`\lambda`.
        trust_coefficient: :math:`\eta`.
        nesterov: the step is :math:`\mu m` of the new m and what was added to it.

    Source: You et al., "Large batch training of convolutional networks", 2017.
    """
    return optax.lars(
        learning_rate,
        weight_decay=weight_decay,
        weight_decay_mask=kernels,
        trust_coefficient=trust_coefficient,
        trust_ratio_mask=kernels,
        momentum=momentum,
        nesterov=nesterov,
    )


def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.95,
    nesterov: bool = True,
    iterations: int = 4,
    rms: float = 0.2,
    weight_decay: float = 1e-4,
    adam_ratio: float = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    r"""Muon for matrices, `adamw` for the rest: the step of a matrix is its momentum with all singular values near 1.

    .. math:: m \leftarrow \mu m + (1 - \mu) g, \quad w \leftarrow w - \alpha (\rho \sqrt{\max(p, q)}\,
        \mathrm{NS}(\mu m + (1 - \mu) g) + \lambda w)

    for w `[p, q]`. NS divides the rows of the shorter side by the roots of :math:`\sum_j |(X X^T)_{ij}|`, which leaves
    no singular value above 1, and takes :math:`X \leftarrow 3.4445 X - 4.775 X X^T X + 2.0315 (X X^T)^2 X` a few times,
    which moves every one to within 0.7 and 1.2 or so. The factor gives a step the root mean square :math:`\rho`
    whatever the shape, AdamW's, so that learning rates for `adamw` are right for this.

    Matrices are those of `kernels` that have two axes, or four: kernels of convolutions `[h, w, in, out]`, as `[h w in,
    out]`. To AdamW go all others: biases and norms, kernels of other ranks, and what has "embedding" in its name.

    Args:
        learning_rate: :math:`\alpha`.
        momentum: :math:`\mu`; both averages in the formula are corrected for their start at 0.
        nesterov: NS is of m and the gradient, as above, and not of m.
        iterations: of NS; each takes :math:`2 p^2 q + p^3` multiplications (p the shorter side).
        rms: :math:`\rho`.
        weight_decay: :math:`\lambda`, of `kernels` alone.
        adam_ratio: the learning rate of AdamW, as a factor of :math:`\alpha`.
        b1, b2, eps: of AdamW.

    Raises:
        ValueError: `adam_ratio` is negative or not finite, or `iterations` below 1.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the factor is of Liu et al.,
    "Muon is scalable for LLM training", 2025; the division, worth an iteration, of Boissin et al., "Turbo-Muon", 2025.
    """
    if not 0 <= adam_ratio < float("inf"):
        raise ValueError(f"adam_ratio={adam_ratio} must be finite and at least 0")
    if iterations < 1:
        raise ValueError(f"iterations={iterations} must be at least 1")
    ratio_of = lambda count: adam_ratio * learning_rate(count)
    descent = optax.chain(
        scale_by_muon(
            ns_steps=iterations,
            preconditioning="aol",
            beta=momentum,
            nesterov=nesterov,
            weight_dimension_numbers=_as_matrices,
        ),
        optax.stateless(lambda updates, _: jax.tree.map(lambda u: rms * _longer_side(u) ** 0.5 * u, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    rate = ratio_of if callable(learning_rate) else adam_ratio * learning_rate
    rest = adamw(rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    return optax.partition({"matrix": descent, "rest": rest}, _matrix_or_rest)


def _matrix_or_rest(params):
    def label(path, x, is_kernel):
        return "matrix" if is_kernel and x.ndim in (2, 4) and "embedding" not in _names(path)[-1] else "rest"

    return jax.tree_util.tree_map_with_path(label, params, kernels(params))


def _as_matrices(updates):
    """All axes but the last go in, the last comes out."""
    return jax.tree.map(lambda x: MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1), updates)


def _longer_side(x) -> int:
    return max(math.prod(x.shape[:-1]), x.shape[-1])


def wrap(
    tx: optax.GradientTransformation, *, clip_norm: float = 0.0, accumulate: int = 1
) -> optax.GradientTransformation:
    """`tx` on the mean of `accumulate` gradients, clipped.

    The mean over calls is what is clipped. Between updates the parameters stay, and so does `tx`: its schedule
    counts updates, not calls. A loss that compares the examples of a batch, as the contrastive ones do, sees those
    of one call: accumulation makes the gradient less noisy and adds no negatives, and batch statistics are a call's.

    Args:
        tx: an optimizer.
        clip_norm: the gradient of all parameters together is scaled down to this 2-norm; 0: it is not.
        accumulate: calls in one update.

    Raises:
        ValueError: `clip_norm` is negative or not finite, or `accumulate` no whole number from 1.
    """
    if not 0 <= clip_norm < float("inf"):
        raise ValueError(f"clip_norm={clip_norm} must be finite and at least 0")
    if accumulate < 1 or accumulate != int(accumulate):
        raise ValueError(f"accumulate={accumulate} must be a whole number of at least 1")
    if clip_norm:
        tx = optax.chain(optax.clip_by_global_norm(clip_norm), tx)
    return optax.MultiSteps(tx, int(accumulate)).gradient_transformation() if accumulate > 1 else tx


def updated(opt_state: optax.OptState) -> jax.Array:
    """Whether the call that returned this state moved the parameters: a boolean `[]`, False between the updates
    of `wrap(accumulate=...)`."""
    if isinstance(opt_state, optax.MultiStepsState):
        return opt_state.mini_step == 0
    return jnp.asarray(True)


OPTIMIZERS = {
    "adam": optax.adam,
    "adamw": adamw,
    "lars": lars,
    "muon": muon,
    "rmsprop": optax.rmsprop,
    "sgd": sgd,
}
SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "wsd": wsd,
}  # (peak, total_steps, ...) -> optax.Schedule
