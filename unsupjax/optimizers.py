"""Optimizers and learning-rate schedules by name, each with plain defaults that a config can hold."""

import optax


def constant(peak: float, total_steps: int, *, warmup: float = 0.0) -> optax.Schedule:
    """`peak`, after a linear rise from 0 over the first `warmup` (a fraction) of the steps."""
    return optax.warmup_constant_schedule(
        init_value=0.0 if warmup else peak, peak_value=peak, warmup_steps=round(warmup * total_steps)
    )


def cosine(peak: float, total_steps: int, *, warmup: float = 0.0, end: float = 0.0) -> optax.Schedule:
    """The same rise, then half a cosine from `peak` to `end * peak` at the last step.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else peak,
        peak_value=peak,
        warmup_steps=round(warmup * total_steps),
        decay_steps=total_steps,
        end_value=end * peak,
    )


def sgd(learning_rate: optax.ScalarOrSchedule, *, momentum: float = 0.0, nesterov: bool = False):
    """Stochastic gradient descent; `optax.sgd`, whose momentum of None a command line cannot change."""
    return optax.sgd(learning_rate, momentum or None, nesterov)


OPTIMIZERS = {"adam": optax.adam, "adamw": optax.adamw, "rmsprop": optax.rmsprop, "sgd": sgd}
SCHEDULES = {"constant": constant, "cosine": cosine}  # (peak, total_steps, ...) -> optax.Schedule
