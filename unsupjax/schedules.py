"""Learning-rate schedules: `(peak, total_steps, ...) -> optax.Schedule`."""

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
