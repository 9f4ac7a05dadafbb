import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unsupjax import optimizers

RNG = np.random.default_rng(0)
PARAMS = {
    "dense": {"kernel": RNG.normal(size=(3, 4)), "bias": RNG.normal(size=4)},
    "norm": {"scale": 1 + RNG.normal(size=4), "bias": np.zeros(4)},
    "conv": {"kernel": np.zeros((2, 2, 1, 3))},
    "frozen_patches": {"kernel": RNG.normal(size=(4, 2))},
}
PARAMS = jax.tree.map(lambda x: x.astype(np.float32), PARAMS)
KERNELS = {
    "dense": {"kernel": True, "bias": False},
    "norm": {"scale": False, "bias": False},
    "conv": {"kernel": True},
    "frozen_patches": {"kernel": False},
}
GRADS = [jax.tree.map(lambda x: RNG.normal(size=x.shape).astype(np.float32), PARAMS) for _ in range(4)]
RATE = optax.linear_schedule(0.5, 0.1, 4)
RATES = [0.5, 0.4, 0.3, 0.2]


def descend(tx, grads=GRADS, params=PARAMS):
    """Parameters after each gradient."""

    @jax.jit
    def step(params, state, gradient):
        updates, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    state, trail = jax.jit(tx.init)(params), []
    for gradient in grads:
        params, state = step(params, state, gradient)
        trail.append((params, state))
    return trail


def norm(tree):
    return np.sqrt(sum(np.sum(np.square(x, dtype=float)) for x in jax.tree.leaves(tree)))


def looped(rule):
    """`rule(gradient, parameter, is_kernel, memory, t) -> parameter` over the gradients in float64."""
    params, memory = jax.tree.map(np.float64, PARAMS), jax.tree.map(lambda x: {}, PARAMS)
    for t, gradient in enumerate(GRADS):
        params = jax.tree.map(lambda g, w, k, m, t=t: rule(g, w, k, m, t), gradient, params, KERNELS, memory)
    return params


def check(tx, rule):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
        descend(tx)[-1][0],
        looped(rule),
    )


def test_kernels_decay_and_nothing_else_does():
    assert optimizers.kernels(PARAMS) == KERNELS


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_is_that_of_a_loop(nesterov):
    """A kernel of zeros (ratio 1), biases and norms (neither decay nor ratio), a changing rate in the buffer."""

    def rule(g, w, is_kernel, memory, t):
        if is_kernel:
            g = g + 0.1 * w
            norms = np.sqrt(np.sum(w**2)), np.sqrt(np.sum(g**2))
            g = g * (0.02 * norms[0] / norms[1] if min(norms) > 0 else 1)
        memory["m"] = 0.9 * memory.get("m", 0) + RATES[t] * g
        return w - (0.9 * memory["m"] + RATES[t] * g if nesterov else memory["m"])

    check(optimizers.lars(RATE, weight_decay=0.1, trust_coefficient=0.02, nesterov=nesterov), rule)


def test_lars_steps_do_not_depend_on_the_scale_of_the_gradient():
    tx = optimizers.lars(0.1, weight_decay=0.0)
    small, large = (descend(tx, [jax.tree.map(lambda g, s=s: s * g, GRADS[0])])[-1][0] for s in (1, 1e3))
    np.testing.assert_allclose(small["dense"]["kernel"], large["dense"]["kernel"], rtol=1e-5)
    assert not np.allclose(small["dense"]["bias"], large["dense"]["bias"])


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_that_of_a_loop(nesterov):
    def rule(g, w, is_kernel, memory, t):
        g = g + (0.1 * w if is_kernel else 0)
        memory["m"] = 0.9 * memory.get("m", 0) + g
        return w - RATES[t] * (g + 0.9 * memory["m"] if nesterov else memory["m"])

    check(optimizers.sgd(RATE, momentum=0.9, nesterov=nesterov, weight_decay=0.1), rule)


def test_adamw_is_that_of_a_loop():
    def rule(g, w, is_kernel, memory, t):
        memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * g
        memory["v"] = 0.7 * memory.get("v", 0) + 0.3 * g**2
        m, v = memory["m"] / (1 - 0.8 ** (t + 1)), memory["v"] / (1 - 0.7 ** (t + 1))
        return w - RATES[t] * (m / (np.sqrt(v) + 1e-8) + (0.1 * w if is_kernel else 0))

    check(optimizers.adamw(RATE, b1=0.8, b2=0.7, weight_decay=0.1), rule)


@pytest.mark.parametrize("name", ["adamw", "lars", "muon", "sgd"])
def test_frozen_parameters_without_gradient_stay(name):
    grads = [g | {"frozen_patches": {"kernel": np.zeros((4, 2), np.float32)}} for g in GRADS]
    tx = optimizers.OPTIMIZERS[name](0.5, weight_decay=0.5)
    moved = descend(tx, grads)[-1][0]
    np.testing.assert_array_equal(moved["frozen_patches"]["kernel"], PARAMS["frozen_patches"]["kernel"])
    assert not np.allclose(moved["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_clipping_scales_the_whole_gradient():
    length = norm(GRADS[0])
    for limit, factor in ((length / 4, 0.25), (2 * length, 1.0), (0.0, 1.0)):
        clipped = descend(optimizers.wrap(optax.sgd(1.0), clip_norm=limit), GRADS[:1])[-1][0]
        for w, g, new in zip(*map(jax.tree.leaves, (PARAMS, GRADS[0], clipped)), strict=True):
            np.testing.assert_allclose(new, w - factor * g, rtol=1e-5, atol=1e-6)


def test_accumulation_clips_the_mean_and_moves_once():
    """Two calls an update: the rate counts updates, and parameters of one call in two are those before."""
    limit = 1.0
    trail = descend(optimizers.wrap(optimizers.sgd(RATE, momentum=0.9), clip_norm=limit, accumulate=2))
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *pair) for pair in (GRADS[:2], GRADS[2:])]
    clipped = lambda mean, scale: jax.tree.map(lambda g: g * scale, mean)
    means = [clipped(mean, np.float32(limit / norm(mean))) for mean in means]
    once = descend(optimizers.sgd(RATE, momentum=0.9), means)
    expected = [PARAMS, once[0][0], once[0][0], once[1][0]]
    for (params, _), values in zip(trail, expected, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), params, values)
    moved = [bool(jax.jit(optimizers.updated)(state)) for _, state in trail]
    assert moved == [False, True, False, True]


def test_without_accumulation_every_call_updates():
    tx = optimizers.wrap(optax.adam(1e-3))
    assert [bool(optimizers.updated(state)) for _, state in descend(tx)] == [True] * 4
    assert optimizers.updated(tx.init(PARAMS)).dtype == jnp.bool_


@pytest.mark.parametrize(
    "arguments",
    [
        {"clip_norm": -1.0},
        {"clip_norm": float("nan")},
        {"clip_norm": float("inf")},
        {"accumulate": 0},
        {"accumulate": 1.5},
    ],
)
def test_wrap_refuses(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}=.* must be"):
        optimizers.wrap(optax.sgd(1.0), **arguments)


def test_a_cosine_that_warms_up_step_by_step():
    """Zero at the start, the peak at the last step of the rise, `end` at the last step and beyond."""
    rate = optimizers.cosine(2.0, 40, warmup=0.1, end=0.25)
    steps = np.arange(43)
    fall = 0.5 + 1.5 * (1 + np.cos(np.pi * (np.minimum(steps, 40) - 4) / 36)) / 2
    expected = np.where(steps <= 4, 2 * steps / 4, fall)
    np.testing.assert_allclose([rate(int(t)) for t in steps], expected, rtol=1e-5, atol=1e-6)


def test_a_line_that_warms_up_and_falls():
    """As the cosine: zero, the peak, and `end` at the last step and beyond; without a rise, the peak at once."""
    steps = np.arange(43)
    rate = optimizers.linear(2.0, 40, warmup=0.1, end=0.25)
    expected = np.interp(steps, [0, 4, 40], [0, 2, 0.5])
    np.testing.assert_allclose([rate(int(t)) for t in steps], expected, rtol=1e-5, atol=1e-6)
    plain = optimizers.linear(1.0, 4)
    np.testing.assert_allclose([plain(t) for t in range(6)], [1, 0.75, 0.5, 0.25, 0, 0])


def test_a_plateau_between_a_rise_and_a_fall():
    steps = np.arange(43)
    rate = jax.jit(jax.vmap(optimizers.wsd(2.0, 40, warmup=0.1, decay=0.25, end=0.1)))
    np.testing.assert_allclose(rate(steps), np.interp(steps, [0, 4, 30, 40], [0, 2, 2, 0.2]), rtol=1e-5)
    plain = optimizers.wsd(1.0, 4, decay=0.5)
    np.testing.assert_allclose([plain(t) for t in range(6)], [1, 1, 1, 0.5, 0, 0])
    whole = optimizers.wsd(1.0, 4, warmup=0.5, decay=0.5)  # no plateau
    np.testing.assert_allclose([whole(t) for t in range(5)], [0, 0.5, 1, 0.5, 0])
    np.testing.assert_allclose([optimizers.wsd(1.0, 3, decay=0.0)(t) for t in range(3)], 1)


@pytest.mark.parametrize("decay", [-0.1, 0.6, float("nan")])
def test_a_plateau_of_a_negative_length_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay=.* with warmup=0.5 at most 1"):
        optimizers.wsd(1.0, 10, warmup=0.5, decay=decay)


MIXED = {  # what Muon moves, and what it leaves to AdamW
    "dense": {"kernel": RNG.normal(size=(5, 3)), "bias": RNG.normal(size=3)},
    "wide": {"kernel": RNG.normal(size=(2, 7))},
    "conv": {"kernel": RNG.normal(size=(3, 3, 2, 4))},
    "heads": {"kernel": RNG.normal(size=(4, 2, 3))},
    "embed": {"embedding": RNG.normal(size=(6, 4))},
}
MIXED = jax.tree.map(lambda x: x.astype(np.float32), MIXED)
MATRICES = {"dense", "wide", "conv"}


def newton_schulz(x, iterations):
    if len(x) > len(x.T):
        return newton_schulz(x.T, iterations).T
    x = x / np.sqrt([[sum(abs(row @ other) for other in x)] for row in x])
    for _ in range(iterations):
        square = x @ x.T
        x = 3.4445 * x - 4.775 * square @ x + 2.0315 * square @ square @ x
    return x


@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_is_that_of_a_loop(nesterov):
    """Matrices by Newton and Schulz in float64, at a changing rate; vectors, other ranks, embeddings by AdamW."""
    grads = [jax.tree.map(lambda x: RNG.normal(size=x.shape).astype(np.float32), MIXED) for _ in range(3)]
    settings = {"momentum": 0.8, "nesterov": nesterov, "iterations": 3, "rms": 0.3, "adam_ratio": 0.5}
    found = descend(optimizers.muon(RATE, weight_decay=0.1, b1=0.8, b2=0.7, **settings), grads, MIXED)[-1][0]

    def by_muon(w, gradients):
        shape, w, m = w.shape, w.reshape(-1, w.shape[-1]).astype(float), 0
        for t, g in enumerate(gradients, 1):
            g = g.reshape(w.shape).astype(float)
            m = 0.8 * m + 0.2 * g
            seen = m / (1 - 0.8**t)
            if nesterov:
                seen = 0.8 * m / (1 - 0.8 ** (t + 1)) + 0.2 * g / (1 - 0.8**t)
            w = w - RATES[t - 1] * (0.3 * np.sqrt(max(w.shape)) * newton_schulz(seen, 3) + 0.1 * w)
        return w.reshape(shape)

    def by_adam(w, gradients):
        decay, w, m, v = (0.1 if w.ndim > 1 else 0), w.astype(float), 0, 0
        for t, g in enumerate(gradients, 1):
            m, v = 0.8 * m + 0.2 * g, 0.7 * v + 0.3 * np.square(g, dtype=float)
            step = m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.7**t)) + 1e-8)
            w = w - 0.5 * RATES[t - 1] * (step + decay * w)
        return w

    for module, parameters in MIXED.items():
        for name, w in parameters.items():
            by = by_muon if module in MATRICES and name == "kernel" else by_adam
            expected = by(w, [g[module][name] for g in grads])
            np.testing.assert_allclose(found[module][name], expected, rtol=1e-4, atol=1e-5, err_msg=module)


def test_a_step_of_muon_is_nearly_orthogonal_and_does_not_depend_on_the_scale_of_the_gradient():
    tx = optimizers.muon(1.0, weight_decay=0.0, rms=1.0)
    tall = {"kernel": RNG.normal(size=(12, 4)).astype(np.float32)}
    gradient = jax.tree.map(lambda x: RNG.normal(size=x.shape).astype(np.float32), tall)
    small, large = (
        tall["kernel"] - descend(tx, [jax.tree.map(lambda g, s=s: s * g, gradient)], tall)[-1][0]["kernel"]
        for s in (1, 1e3)
    )
    np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-4)
    values = np.linalg.svd(small, compute_uv=False) / np.sqrt(12)
    assert (values > 0.6).all() and (values < 1.3).all(), values


def test_muon_accumulates_and_refuses():
    tx = optimizers.wrap(optimizers.muon(0.1), clip_norm=1.0, accumulate=2)
    assert [bool(optimizers.updated(state)) for _, state in descend(tx)] == [False, True] * 2
    for arguments in ({"adam_ratio": -1.0}, {"iterations": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(arguments))}=.* must be"):
            optimizers.muon(0.1, **arguments)
