import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unsupjax import losses

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 5, 2, 3))
X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
KEYS = jax.random.split(jax.random.key(1), 5)
W = {"a": RNG.normal(size=(6, 4)), "b": RNG.normal(size=4)}
W32 = jax.tree.map(lambda w: w.astype(np.float32), W)


def critic(params, x, library=jnp):
    """A layer of tanh: every second derivative, of parameters and inputs, is there."""
    return (library.tanh(x.reshape(len(x), -1) @ params["a"]) * params["b"][None]).sum(axis=1)


def norm2(params, x, h=1e-5):
    """Squared norms by central differences in float64, one input at a time."""
    total = np.zeros(len(x))
    for index in np.ndindex(x.shape[1:]):
        step = np.zeros(x.shape[1:])
        step[index] = h
        slope = (critic(params, x + step, np) - critic(params, x - step, np)) / (2 * h)
        total += slope**2
    return total


def penalty(params, target=1.0):
    epsilon = np.array([float(jax.random.uniform(key)) for key in KEYS])[:, None, None]
    return (np.sqrt(norm2(params, epsilon * X + (1 - epsilon) * Y)) - target) ** 2


def by_differences(f, params, h=1e-4):
    """Gradient of a float64 function of parameters."""
    found = {}
    for name, value in params.items():
        found[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            step = np.zeros_like(value)
            step[index] = h
            ends = (f({**params, name: value + s * step}) for s in (1, -1))
            found[name][index] = np.subtract(*ends) / (2 * h)
    return found


def test_norms_are_those_of_finite_differences():
    found = losses.gradient_norm2(lambda x: critic(W32, x), X32)
    assert found.shape == (5,) and found.dtype == jnp.float32
    np.testing.assert_allclose(found, norm2(W, X), rtol=1e-4)


@pytest.mark.parametrize("target", [1.0, 0.0, 3.0])
def test_wgan_gp_is_that_of_finite_differences(target):
    found = losses.wgan_gp(lambda x: critic(W32, x), X32, Y32, KEYS, target=target)
    assert found.shape == (5,) and found.dtype == jnp.float32
    np.testing.assert_allclose(found, penalty(W, target), rtol=1e-4, atol=1e-5)


def test_gradients_of_parameters_are_those_of_finite_differences():
    ours = jax.grad(lambda w: losses.gradient_norm2(lambda x: critic(w, x), X32).mean())(W32)
    expected = by_differences(lambda w: norm2(w, X).mean(), W)
    gp = jax.grad(lambda w: losses.wgan_gp(lambda x: critic(w, x), X32, Y32, KEYS).mean())(W32)
    expected_gp = by_differences(lambda w: penalty(w).mean(), W)
    for name in W:
        np.testing.assert_allclose(ours[name], expected[name], rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(gp[name], expected_gp[name], rtol=2e-3, atol=1e-4)
        assert np.abs(expected[name]).max() > 0.1 and np.abs(expected_gp[name]).max() > 0.1


def test_a_linear_critic_has_the_norm_of_its_weights():
    """3-4-12: the norm over all event axes is 13; of the last one alone it would be 5 and 12."""
    w = jnp.array([[3.0, 4.0], [12.0, 0.0]])
    linear = lambda x: (x * w[None]).sum(axis=(1, 2))
    x = jnp.asarray(X32[:, :, :2])
    np.testing.assert_allclose(losses.gradient_norm2(linear, x), 169, rtol=1e-6)
    np.testing.assert_allclose(losses.wgan_gp(linear, x, -x, KEYS), 144, rtol=1e-6)
    np.testing.assert_allclose(losses.wgan_gp(linear, x, -x, KEYS, target=13.0), 0, atol=1e-9)


def test_every_sample_has_an_epsilon_of_its_own():
    """Half a squared norm has x as its gradient: from zeros to ones its norm is 2 epsilon in four dimensions.

    That holds only for one epsilon in all of them.
    """
    n = 2000
    keys = jax.random.split(jax.random.key(2), n)
    half = lambda x: jnp.square(x).sum(axis=1) / 2
    found = losses.wgan_gp(half, jnp.ones((n, 4)), jnp.zeros((n, 4)), keys, target=0.0)
    epsilon = np.sqrt(found) / 2
    np.testing.assert_allclose(epsilon, jax.vmap(jax.random.uniform)(keys), atol=1e-5)
    np.testing.assert_allclose((epsilon.mean(), epsilon.std()), (0.5, 12**-0.5), atol=0.02)
    reversed_keys = losses.wgan_gp(half, jnp.ones((n, 4)), jnp.zeros((n, 4)), keys[::-1], target=0.0)
    np.testing.assert_array_equal(found, reversed_keys[::-1])


def test_a_gradient_of_zero_has_a_finite_penalty_and_gradient():
    flat = lambda w: losses.wgan_gp(lambda x: critic(w, x), X32, Y32, KEYS).sum()
    value, grad = jax.value_and_grad(flat)(jax.tree.map(jnp.zeros_like, W32))
    np.testing.assert_allclose(value, 5, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grad))
    zero_b = {"a": W32["a"], "b": jnp.zeros(4)}
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(jax.grad(flat)(zero_b)))


def test_examples_and_samples_are_constants():
    f = lambda x: critic(W32, x)
    gradients = [
        *jax.grad(lambda x, y: losses.wgan_gp(f, x, y, KEYS).sum(), (0, 1))(X32, Y32),
        jax.grad(lambda x: losses.gradient_norm2(f, x).sum())(X32),
    ]
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_inputs_and_logits_of_any_float_dtype():
    rough = lambda x: critic(jax.tree.map(lambda w: w.astype(jnp.bfloat16), W32), x.astype(jnp.bfloat16))
    x, y = (jnp.asarray(a, jnp.bfloat16) for a in (X, Y))
    for found, expected in (
        (losses.gradient_norm2(rough, x), norm2(W, X)),
        (losses.wgan_gp(rough, x, y, KEYS), penalty(W)),
    ):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.1)


def test_shapes_that_do_not_fit_are_refused():
    f = lambda x: critic(W32, x)
    for arguments in ((X32, Y32[:3], KEYS), (X32, Y32, KEYS[:3]), (X32, Y32, KEYS[0])):
        with pytest.raises(AssertionError):
            losses.wgan_gp(f, *arguments)
    with pytest.raises(AssertionError):
        losses.gradient_norm2(lambda x: f(x)[:, None], X32)
    with pytest.raises(AssertionError):
        losses.check_independent(lambda x: f(x)[:, None], (2, 3))


class Network(nn.Module):
    norm: str = ""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(4)(x)
        if self.norm == "batch":
            x = nn.BatchNorm(use_running_average=not train)(x)
        if self.norm == "layer":
            x = nn.LayerNorm()(x)
        return nn.Dense(1)(nn.leaky_relu(x).reshape(len(x), -1))[:, 0]


def network(norm, train):
    """Of parameters made here, also while something else is being traced."""

    def apply(x):
        with jax.ensure_compile_time_eval():
            init = jax.jit(
                lambda: Network(norm).init(jax.random.key(0), jnp.zeros((2, 4, 4, 1)), train=False)
            )
            variables = init()
        return Network(norm).apply(variables, x, train=train, mutable=["batch_stats"])[0]

    return apply


def deviation(x):
    """Minibatch standard deviation: one more feature, the same for a whole group."""
    return x.sum(axis=1) + 0.1 * x.std(axis=0).mean()


DEPENDENT = {
    "batch norm": (network("batch", True), (4, 4, 1)),
    "minibatch standard deviation": (deviation, (3,)),
    "groups of 2 beside each other": (
        lambda x: jax.vmap(deviation)(x.reshape(-1, 2, 3)).reshape(-1),
        (3,),
    ),
    "groups of 2 apart": (
        lambda x: jax.vmap(deviation, 1, 1)(x.reshape(2, -1, 3)).reshape(-1),
        (3,),
    ),
    "the first row alone": (lambda x: x.sum(axis=1) + x[:1, 0], (3,)),
    "a little": (lambda x: 1e3 + x.sum(axis=1) + 1e-7 * x.mean(), (3,)),
}
INDEPENDENT = {
    "batch norm in evaluation": (network("batch", False), (4, 4, 1)),
    "layer norm": (network("layer", True), (4, 4, 1)),
    "dropout": (lambda x: (x * jax.random.bernoulli(jax.random.key(0), 0.5, x.shape)).sum(axis=1), (3,)),
    "a constant": (lambda x: jnp.zeros(len(x)), (3,)),
    "bfloat16": (lambda x: x.astype(jnp.bfloat16).sum(axis=1), (3,)),
}


def traced_by(transformation, f):
    """Calls f once, while that is being traced; what f does with numbers must not be seen there."""

    def outer(x):
        f()
        return 2 * x

    return {
        "nothing": outer,
        "jit": jax.jit(outer),
        "eval_shape": lambda x: jax.eval_shape(outer, x),
        "grad": jax.grad(lambda x: outer(x).sum()),
        "vmap": jax.vmap(outer),
    }[transformation](jnp.ones(2))


@pytest.mark.parametrize("case", DEPENDENT)
def test_a_critic_that_mixes_examples_is_refused(case):
    with pytest.raises(ValueError, match=r"no other example .* batch norm .* minibatch .* set no penalty"):
        losses.check_independent(*DEPENDENT[case])


@pytest.mark.parametrize("case", INDEPENDENT)
def test_a_critic_of_independent_examples_passes(case):
    losses.check_independent(*INDEPENDENT[case])


@pytest.mark.parametrize("transformation", ["nothing", "jit", "eval_shape", "grad", "vmap"])
def test_the_check_is_of_numbers_under_every_transformation(transformation):
    traced_by(transformation, lambda: losses.check_independent(*INDEPENDENT["layer norm"]))
    with pytest.raises(ValueError, match="batch norm"):
        traced_by(transformation, lambda: losses.check_independent(*DEPENDENT["batch norm"]))


@pytest.mark.parametrize("transformation", [jax.jit, lambda f: lambda w: jax.eval_shape(f, w)])
def test_parameters_that_are_traced_are_named(transformation):
    def init(w):
        losses.check_independent(lambda x: critic(w, x), (2, 3))
        return w

    with pytest.raises(ValueError, match=r"parameters are being traced .* jax\.ensure_compile_time_eval"):
        transformation(init)(W32)


def test_one_row_shows_nothing():
    with pytest.raises(ValueError, match="rows=1"):
        losses.check_independent(deviation, (3,), rows=1)


def test_groups_larger_than_the_rows_need_more_rows():
    """Each group of 8 rows, apart: 4 rows are no batch of it."""
    grouped = lambda x: jax.vmap(deviation)(x.reshape(-1, 8, 3)).reshape(-1)
    with pytest.raises(ValueError, match="no other example"):
        losses.check_independent(grouped, (3,), rows=8)
