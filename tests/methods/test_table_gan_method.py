"""The GAN of tables: one update against formulas written out, the matrix of executors, and whole runs."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec
from test_methods import assert_same_state

from unsupjax import methods, tables
from unsupjax.config import experiment
from unsupjax.data import kinds
from unsupjax.data.feeds import by_category
from unsupjax.data.kinds.table import fit as fit_kind
from unsupjax.errors import UserError
from unsupjax.methods.parts import copula, tabular
from unsupjax.parallel.mesh import AXIS, axis_name, compile_step, make_mesh, place_batch, replicated
from unsupjax.run import fit as runs
from unsupjax.run import workdir
from unsupjax.run.build import build
from unsupjax.run.checkpoint import Checkpoints

pytestmark = pytest.mark.thorough

SMALL = {"generator_features": (8,), "critic_features": (8,), "noise_dim": 4}
CASES = {
    "relativistic": {"pack": 2},
    "wasserstein": {"loss": "wasserstein", "n_critic": 2, "dropout": 0.5, "ema": 0.0, "copula": False},
}
STEPS, BATCH = 3, 96


@pytest.fixture(scope="module")
def table():
    """90 rows of every type: missing numbers, a constant, and two columns of categories."""
    random = np.random.default_rng(0)
    x = random.normal(50, 10, 90).round(2)
    c = np.where(x > 50, "a", "b")
    x[:9] = np.nan
    y, d = random.gamma(2, size=90).round(3), random.choice(["p", "q", "r"], 90)
    return tables.from_columns({"x": x, "c": c, "y": y, "one": [7] * 90, "d": d})


@pytest.fixture(scope="module")
def data(table):
    """The kind, its stored rows, and STEPS batches of them."""
    kind = fit_kind(table.structured(), table.columns, missing=True, numbers="modes", modes=3)
    rows = kind.prepare(table.structured())
    spans = methods.table_gan(None, None, kind=kind).wants.asks
    codes = np.stack([rows[:, at : at + size].argmax(axis=1) for at, size in spans], axis=1)
    example, asked = by_category(codes, (2, 3), BATCH, 0)(0, STEPS)
    return kind, rows, [(jnp.asarray(rows[e]), jnp.asarray(a)) for e, a in zip(example, asked, strict=True)]


def make(data, case, axis=None, **changes):
    tx = optax.sgd(1e-2, momentum=0.9)  # Adam would amplify round-off
    return methods.table_gan(
        tx, tx, kind=data[0], rows=data[1], axis_name=axis, **SMALL | CASES[case] | changes
    )


@pytest.fixture(scope="module")
def trained(data):
    """State and metrics after STEPS steps on one device, by case."""
    found = {}
    for case in CASES:
        method = make(data, case)
        chex.clear_trace_counter()
        step = jax.jit(chex.assert_max_traces(method.step, n=1))
        state = jax.jit(method.init)(jax.random.key(1), data[2][0])
        for batch in data[2]:
            state, metrics = step(state, batch)
        found[case] = state, metrics
    return found


@pytest.mark.parametrize("case", CASES)
def test_contract(case, data, trained):
    state, metrics = trained[case]
    method, (x, _) = make(data, case), data[2][0]
    assert state.step == STEPS and state.step.dtype == jnp.int32
    assert set(metrics) == {"loss", "critic_gap", "generator_loss", "condition_loss"}
    for value in metrics.values():
        chex.assert_shape(value, ())
        assert value.dtype == jnp.float32 and np.isfinite(value)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(state._replace(key=0)))
    encode = jax.jit(method.encode)
    z = encode(state, x)
    assert z.shape == (BATCH, 8) and z.dtype == jnp.float32
    np.testing.assert_allclose(encode(state, x[:5]), z[:5], rtol=1e-4, atol=1e-6)
    finish, sample = jax.jit(method.finish), jax.jit(method.sample, static_argnums=2)
    finished = finish(state)
    chex.assert_trees_all_equal(finish(finished)._replace(key=0), finished._replace(key=0))
    rows = sample(finished, jax.random.key(0), 50)
    assert rows.shape == (50, *data[0].shape) and rows.dtype == jnp.float32
    assert set(data[0].restore(rows)["one"]) == {7.0}
    if case == "relativistic":
        asked = sample(finished, jax.random.key(0), 50, jnp.full(50, 4, jnp.int32))
        share = [(data[0].restore(x)["d"] == "r").mean() for x in (rows, asked)]
        assert share[1] > 0.9 > 0.6 > share[0]


def test_real_rows_have_the_categories_asked_for(data):
    layout = tabular.layout(data[0])
    for rows, asked in data[2]:
        vectors = tabular.arranged(layout, rows)
        assert (vectors[jnp.arange(BATCH), layout.width - 5 + asked] == 1).all()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("case", "executor"),
    [
        ("relativistic", "jit"),
        ("relativistic", "pmap"),
        pytest.param("wasserstein", "jit", marks=pytest.mark.slow),
        ("wasserstein", "pmap"),
    ],
)
def test_eight_devices_give_the_state_of_one(case, executor, data, trained):
    mesh, method = make_mesh(), make(data, case, axis_name(executor))
    step = compile_step(method.step, mesh, executor)
    state = jax.jit(method.init, out_shardings=replicated(mesh))(jax.random.key(1), data[2][0])
    for batch in data[2]:
        state, metrics = step(state, place_batch(batch, mesh, executor))
    assert mesh.size == 8
    assert_same_state(state, trained[case][0], 2e-5)
    if executor == "pmap":
        jax.eval_shape(method.finish, state)  # outside of the mapped axis
    for name, value in trained[case][1].items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["relativistic", pytest.param("wasserstein", marks=pytest.mark.slow)])
def test_users_own_shard_map_gives_the_state_of_one(case, data, trained):
    method, whole, shared = make(data, case, AXIS), PartitionSpec(), PartitionSpec(AXIS)
    step = jax.jit(
        jax.shard_map(method.step, mesh=make_mesh(), in_specs=(whole, (shared, shared)), out_specs=whole)
    )
    state = jax.jit(method.init)(jax.random.key(1), data[2][0])
    for batch in data[2]:
        state, _ = step(state, batch)
    assert_same_state(state, trained[case][0], 2e-5)


@pytest.mark.thorough
def test_a_step_against_formulas(data):
    """The first update of both networks, and the average, of plain gradient descent."""
    rate, kind, rows = 0.1, *data[:2]
    method = methods.table_gan(
        *2 * [optax.sgd(rate)], kind=kind, rows=rows, pack=2, dropout=0.0, ema=0.9, **SMALL
    )
    layout = tabular.layout(kind)
    x, asked = data[2][0]
    state = jax.jit(method.init)(jax.random.key(1), data[2][0])
    critic = tabular.Critic((8,), 0.0)
    generator = tabular.Generator(sum(layout.modes) + sum(layout.hots), (8,))
    parts = [(x[i::2], asked[i::2]) for i in range(2)]  # of the critic's update, and of the generator's

    def seen(vectors, asked):
        """Packs of two neighbouring rows, each with its condition, its numbers and their components."""
        m = sum(layout.modes)
        hot = vectors[:, layout.scalars : layout.scalars + m]
        number = hot @ layout.mean + (hot @ layout.slope) * vectors[:, : layout.scalars]
        components = 0.3 * (number - state.facts.view.centre[None]) @ state.facts.view.whiten
        whole = jnp.concatenate([vectors, np.eye(5)[asked], number, components], axis=1)
        return jnp.concatenate([whole[::2], whole[1::2]], axis=1)

    def fake(params, update):
        """Example i draws by the i-th key of this update: scores, noise, Gumbel's."""
        key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(state.key, 0), update), 0)

        def draws(i):
            a, b, c = jax.random.split(jax.random.fold_in(key, i), 3)
            hots = sum(layout.hots)
            return (
                jax.random.normal(a, (len(layout.hots),)),
                jax.random.normal(b, (4,)),
                jax.random.gumbel(c, (hots,)),
            )

        normal, noise, gumbel = jax.vmap(draws)(jnp.arange(BATCH // 2))
        asked = parts[update][1]
        z = copula.draw(layout, state.facts.latent, normal, asked)
        inputs = jnp.concatenate([z, noise, np.eye(5)[asked]], axis=1)
        raw, _ = generator.apply(
            {"params": params, "batch_stats": state.stats}, inputs, True, mutable=["batch_stats"]
        )
        return tabular.compose(layout, gumbel, raw, copula.start(layout, state.facts.latent, z))

    @jax.jit
    def plain():
        real = [seen(tabular.arranged(layout, rows), asked) for rows, asked in parts]
        made = seen(fake(state.generator, 0)[0], parts[0][1])
        logits = lambda params, packs: critic.apply({"params": params}, packs)

        def critic_loss(params):
            gap = jnp.log1p(jnp.exp(logits(params, made) - logits(params, real[0]))).mean()
            slope = jax.vmap(jax.grad(lambda pack: logits(params, pack[None])[0]))
            return gap + 0.05 * sum((slope(packs) ** 2).sum(axis=1).mean() for packs in (real[0], made)), gap

        (value, gap), gradient = jax.value_and_grad(critic_loss, has_aux=True)(state.critic)
        updated = jax.tree.map(lambda p, g: p - rate * g, state.critic, gradient)

        def generator_loss(params):
            vectors, found = fake(params, 1)
            judged = [logits(updated, packs) for packs in (real[1], seen(vectors, parts[1][1]))]
            adversarial = jnp.log1p(jnp.exp(judged[0] - judged[1])).mean()
            log_p = jnp.concatenate(
                [jax.nn.log_softmax(found[:, -5:-3]), jax.nn.log_softmax(found[:, -3:])], axis=1
            )
            return adversarial - log_p[jnp.arange(BATCH // 2), parts[1][1]].mean()

        gradient = jax.grad(generator_loss)(state.generator)
        return value, gap, updated, jax.tree.map(lambda p, g: p - rate * g, state.generator, gradient)

    value, gap, expected_critic, expected_generator = plain()
    new, metrics = jax.jit(method.step)(state, (x, asked))
    np.testing.assert_allclose((metrics["loss"], metrics["critic_gap"]), (value, gap), rtol=1e-5)
    for found, expected, before in (
        (new.critic, expected_critic, state.critic),
        (new.generator, expected_generator, state.generator),
    ):
        chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)
        moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), found, before)
        assert max(jax.tree.leaves(moved)) > 1e-4
    average = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state.average, new.generator)
    chex.assert_trees_all_close(new.average, average, rtol=1e-5, atol=1e-7)


@pytest.mark.thorough
def test_samples_have_the_quantiles_of_the_table(data, table, trained):
    """Of numbers; and categories are as frequent as they are, if the generator does what it is asked for."""
    kind = data[0]
    sample = lambda method, state, n: kind.restore(
        jax.jit(method.sample, static_argnums=2)(jax.jit(method.finish)(state), jax.random.key(2), n)
    )
    state = trained["relativistic"][0]
    spoilt = jax.tree.map(lambda x: x + 0.2, state.average)
    state = state._replace(average=spoilt)
    levels = np.linspace(0.02, 0.98, 25)
    real = np.quantile(table.values[2], levels)
    far = {}
    for calibrated in (True, False):
        new = sample(make(data, "relativistic", calibrated=calibrated), state, 4000)
        far[calibrated] = np.abs(np.quantile(new["y"], levels) - real).max() / table.values[2].std()
    assert far[True] < 0.15 and far[False] > 0.5
    new = sample(make(data, "relativistic"), trained["relativistic"][0], 4000)
    for i in (1, 4):
        for value in np.unique(table.values[i]):
            real, found = ((v == value).mean() for v in (table.values[i], new[table.names[i]]))
            assert found == pytest.approx(real, abs=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "hinge"}, "loss='hinge': choices are"),
        ({"pack": 0}, "pack=0 must be at least 1"),
        ({"ema": 1.0}, r"ema=1.0 must be in \[0, 1\)"),
        ({"dropout": -0.1}, "dropout=-0.1 must be in"),
        ({"kind": kinds.Images((2, 2, 1))}, "it models tables, and this is images data"),
    ],
)
def test_what_the_factory_refuses(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        methods.table_gan(None, None, **{"kind": data[0]} | arguments)


def test_a_batch_that_packs_do_not_divide(data):
    method = make(data, "relativistic", pack=5)
    state = jax.eval_shape(method.init, jax.random.key(0), data[1][:1])
    with pytest.raises(ValueError, match="2 updates of pack=5 do not divide the 96 rows"):
        jax.eval_shape(method.step, state, data[2][0])


@pytest.fixture(scope="module")
def csv(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    tables.write(path, table)
    return path


def tiny(csv, **changes):
    adam = {"name": "adam", "learning_rate": 1e-3, "b1": 0.5, "b2": 0.9}
    sections = {
        "data": {"source": f"csv:{csv}", "columns": "mixed", "numbers": "modes", "missing": True},
        "method": {"name": "table_gan", "pack": 2} | SMALL,
        "generator_optimizer": adam,
        "discriminator_optimizer": adam,
        "schedule": {"name": "linear"},
        "train": {"batch_size": 80, "steps": 12, "steps_per_call": 3, "log_every": 3},
        "checkpoint": {"every": 6, "seconds": 0.0, "best_metric": ""},
        "evaluate": {"run": ()},
    }
    return experiment(**sections | changes)


@pytest.fixture(scope="module")
def undisturbed(csv, few_panels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    runs.fit(tiny(csv), folder)
    return folder, runs.load(folder)[1]


@pytest.mark.thorough
def test_an_interrupted_run_and_the_other_feed_end_in_the_same_state(csv, undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed[0], folder)
    shutil.rmtree(folder / "checkpoints" / "12")
    config = tiny(csv)
    runs.fit(config, folder)
    config.data.feed = "streaming"
    runs.fit(config, tmp_path / "streaming")
    for other, tolerance in (
        (folder, 0),
        (tmp_path / "streaming", 1e-5),
    ):  # another program: rounded elsewhere
        assert_same_state(runs.load(other)[1], undisturbed[1], tolerance)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [3, 6, 9, 12]


@pytest.mark.thorough
def test_a_run_samples_without_its_data(csv, undisturbed):
    """What `model.json` and a checkpoint hold is enough."""
    folder, state = undisturbed
    model = workdir.read_model(folder)
    kind = kinds.from_json(model["kind"])
    method = build(
        experiment(**workdir.read_config(folder)), kind.shape, model["facts"]["examples"], 12, kind=kind
    )
    abstract = jax.eval_shape(method.init, jax.random.key(0), jnp.zeros((1, *kind.shape)))
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    mesh = make_mesh(jax.devices()[:1])
    restored = checkpoints.restore(abstract, jax.tree.map(lambda _: replicated(mesh), abstract)).state
    checkpoints.close()
    sample = jax.jit(method.sample, static_argnums=2)
    rows, expected = (sample(s, jax.random.key(3), 40) for s in (jax.jit(method.finish)(restored), state))
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    new = kind.restore(rows)
    assert set(new) == {"x", "c", "y", "one", "d"} and set(new["d"]) <= {"p", "q", "r"}


def test_data_that_is_no_table_by_modes_is_refused(csv, tmp_path):
    for changes, message in (
        ({"source": f"csv:{csv}", "columns": "mixed", "missing": True}, r"'x' is a number.*numbers='modes'"),
        ({"source": "digits"}, "it models tables, and this is images data"),
    ):
        with pytest.raises(UserError, match=message):
            runs.fit(tiny(csv, data=changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
