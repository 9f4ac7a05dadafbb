import importlib.util
import inspect
import json
import pathlib

import jax
import numpy as np
import optax
import pytest

from unsupjax.config import SLOTS, Evaluate, check, defaults, experiment, sections_of, settled, widened
from unsupjax.data.kinds import Baskets, Modes, Table, Windows
from unsupjax.data.kinds.columns import Category
from unsupjax.data.kinds.tokens import fit_tokens
from unsupjax.errors import UserError
from unsupjax.evaluate import FIGURES, JUDGES
from unsupjax.methods import METHODS
from unsupjax.optimizers import constant, cosine
from unsupjax.run.build import build, learning_rates, optimizer, updates_a_step
from unsupjax.run.plan import resolve, resolve_record
from unsupjax.run.workdir import tuples as workdir_tuples

TABLE = Table((Category("c", ("a", "b")), Modes("x", (1.0,), (0.0,), (2.0,), (), (-9.0, 9.0), (0, 2))))
CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


def tiny(**changes):
    sections = {
        "data": {"source": "digits"},
        "method": {"name": "autoencoder", "latent_dim": 4},
        "encoder": {"name": "mlp", "features": (8,)},
        "decoder": {"name": "mlp", "features": (8,)},
    }
    return experiment(**sections | changes)


def test_a_config_is_complete():
    config = tiny()
    tables = {"method": METHODS} | {name: SLOTS[name].factories for name in sections_of("autoencoder")}
    for section, table in tables.items():
        known = defaults(table[config[section].name], skip=("name", "parent"))
        assert set(known) <= set(config[section]), section
    assert config.train.batch_size == 128 and config.data.holdout == 0.2
    check(config)


def test_defaults_are_those_of_the_signature():
    for factory in METHODS.values():
        for name, value in defaults(factory).items():
            assert inspect.signature(factory).parameters[name].default == value
    assert "tx" not in defaults(METHODS["vae"]) and "axis_name" not in defaults(METHODS["vae"])


TEXT = fit_tokens(9, {"type": "chars", "characters": "abc"}, "packed")
ITEMS = Baskets(9, tuple("abcdefghijkl"))
SERIES = Windows(16, ("a", "b"), (0.0, 0.0), (1.0, 1.0))
SLOW_TO_BUILD = ("gan_cifar10_r3gan",)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in SLOW_TO_BUILD else [])
        for path in CONFIGS
    ],
)
def test_every_config_builds(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    check(config)
    shapes = {"mnist": (28, 28, 1), "digits": (8, 8, 1), "cifar10": (32, 32, 3)}
    shapes |= dict.fromkeys(("folder", "pictures", "noisy"), (64, 64, 3))
    shape = next((shapes[part] for part in path.stem.split("_") if part in shapes), (12,))
    of_texts = "network" in config and config.network.name == "transformer"
    kind = TABLE if config.data.numbers == "modes" else TEXT if of_texts else None
    kind = ITEMS if config.data.source.startswith(("ratings:", "bow:")) else kind
    kind = SERIES if path.stem.startswith("series_") else kind
    kind = Table.of_statistics([0.0] * 12, [1.0] * 12) if path.stem == "mixed_rows" else kind
    shape = kind.shape if kind else shape
    method = build(config, shape, 60_000, 100, kind=kind)
    dtype = np.int32 if kind in (TEXT, ITEMS) else np.float32
    batch = jax.ShapeDtypeStruct((config.train.batch_size, *shape), dtype)
    jax.eval_shape(method.init, jax.random.key(0), batch)
    assert f"--config=configs/{path.name}" in module.__doc__ or path.stem == "autoencoder_digits"


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"method": {"name": "autoencodr"}},
            r"config.method.name='autoencodr' is unknown; did you mean 'autoencoder'",
        ),
        (
            {"method": {"name": "vae", "laten_dim": 3}},
            r"config.method.laten_dim is unknown; did you mean 'latent_dim'",
        ),
        ({"encoder": {"name": "mpl"}}, r"config.encoder.name='mpl' is unknown; did you mean 'mlp'"),
        ({"optimizer": {"name": "adm"}}, r"did you mean 'adam'"),
        ({"optimizer": {"name": "adam", "beta1": 0.9}}, r"config.optimizer.beta1 is unknown; .*b1"),
        ({"train": {"batchsize": 3}}, r"config.train.batchsize is unknown; did you mean 'batch_size'"),
        (
            {"data": {"source": "digits", "hold_out": 0.1}},
            r"config.data.hold_out is unknown; did you mean 'holdout'",
        ),
        ({"evaluate": {"run": ("knnn",)}}, r"config.evaluate.run='knnn' is unknown; did you mean 'knn'"),
        (
            {"evaluate": {"run": ("knn",), "knn": {"kk": 1}}},
            r"config.evaluate.knn.kk is unknown; did you mean 'k'",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(changes, message):
    with pytest.raises(UserError, match=message):
        tiny(**changes)


@pytest.mark.parametrize(
    "section, field, value, message",
    [
        (None, "dtype", "float61", "config.dtype='float61' is unknown; did you mean"),
        (None, "parallel", "pmpa", "did you mean 'pmap'"),
        ("data", "feed", "streamin", "did you mean 'streaming'"),
        ("data", "transform", "binarise", "did you mean 'binarize'"),
        ("checkpoint", "best_mode", "mim", "did you mean 'min'"),
        ("train", "batch_size", 0, "config.train.batch_size=0 must be at least 1"),
        ("checkpoint", "every", 0, "config.checkpoint.every=0 must be at least 1"),
        ("method", "name", "denoising", "config.method.[a-z_]+ is unknown"),
    ],
)
def test_a_changed_field_is_checked(section, field, value, message):
    config = tiny(method={"name": "vae"})
    (config if section is None else config[section])[field] = value
    with pytest.raises(UserError, match=message):
        check(config)


@pytest.mark.parametrize(
    "section, field, value, message",
    [
        ("method", "likelihood", "cauchy", "unknown likelihood 'cauchy'"),
        ("method", "code_activation", "relo", "unknown activation 'relo'"),
    ],
)
def test_a_value_that_a_factory_refuses_is_a_user_error(section, field, value, message):
    config = tiny()
    config[section][field] = value
    with pytest.raises(UserError, match=message):
        build(config, (8, 8, 1), 1438, 10)


def test_methods_without_networks_have_no_sections_for_them():
    config = experiment(data={"source": "digits"}, method={"name": "kmeans"})
    check(config)
    assert not {"encoder", "decoder", "optimizer", "schedule"} & set(config)
    build(config, (8, 8, 1), 1438, 10)


def clustered(augment):
    networks = {"encoder": {"name": "mlp", "features": (8,)}, "decoder": {"name": "mlp", "features": (8,)}}
    return experiment(data={"source": "digits"}, method={"name": "dec"}, augment=augment, **networks)


def test_a_section_that_a_method_does_without_may_be_left_out():
    for augment in (None, {"name": "glyphs"}):
        config = clustered(augment)
        check(config)
        assert ("augment" in config) == bool(augment)
        build(config, (8, 8, 1), 256, 100)


@pytest.mark.thorough
def test_views_are_seen_where_there_is_a_section_for_them():
    policies = (None, {"name": "glyphs"}, {"name": "scarf"})
    made = [build(clustered(augment), (8, 8, 1), 256, 100) for augment in policies]
    x = np.random.default_rng(0).uniform(size=(32, 8, 8, 1)).astype(np.float32)
    state = made[0].init(jax.random.key(0), x)
    assert len({float(jax.jit(method.step)(state, x)[1]["loss"]) for method in made}) == 3


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"method": {"name": "kmeans"}, "encoder": {"name": "mlp"}},
            "config.encoder: the method 'kmeans' takes none",
        ),
        (
            {"method": {"name": "vae"}, "encoder": {"name": "mlp"}},
            "config.decoder is missing, and the method 'vae'",
        ),
        ({"method": {"name": "k-means"}}, "did you mean 'kmeans'"),
    ],
)
def test_sections_must_be_those_of_the_method(sections, message):
    with pytest.raises(UserError, match=message):
        experiment(data={"source": "digits"}, **sections)


def test_a_method_changed_to_one_with_networks_is_refused():
    config = experiment(data={"source": "digits"}, method={"name": "kmeans"})
    config.method.name = "vae"
    with pytest.raises(UserError, match="clusters is unknown"):
        check(config)


def test_schedules():
    rate = cosine(1.0, 100, warmup=0.1, end=0.1)
    np.testing.assert_allclose(
        [rate(0), rate(5), rate(10), rate(55), rate(100)], [0, 0.5, 1, 0.55, 0.1], rtol=1e-5
    )
    rate = constant(2.0, 100, warmup=0.1)
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(99)], [0, 1, 2, 2])
    np.testing.assert_allclose(constant(2.0, 100)(0), 2)
    np.testing.assert_allclose(cosine(2.0, 100)(0), 2)


def test_the_optimizer_is_optaxs():
    tx = optimizer(tiny(), 10)
    updates, _ = tx.update({"w": np.ones(2, np.float32)}, tx.init({"w": np.ones(2, np.float32)}))
    expected, _ = optax.adam(1e-3).update({"w": np.ones(2)}, optax.adam(1e-3).init({"w": np.ones(2)}))
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-5)


def test_sgd_takes_momentum():
    tx = optimizer(tiny(optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.5}), 10)
    grads, state = {"w": np.ones(2, np.float32)}, tx.init({"w": np.ones(2, np.float32)})
    for expected in (-0.5, -0.75):
        updates, state = tx.update(grads, state)
        np.testing.assert_allclose(updates["w"], expected)


def test_learning_rates_are_those_of_the_optimizers():
    """At each step, of an optimizer that accumulates and of a discriminator's that is updated several times."""
    config = experiment(
        data={"source": "digits"},
        method={"name": "gan", "n_critic": 3},
        generator={"name": "mlp"},
        discriminator={"name": "mlp"},
        generator_optimizer={"name": "sgd", "learning_rate": 0.1, "accumulate": 2},
        discriminator_optimizer={"name": "sgd", "learning_rate": 0.2},
        schedule={"name": "cosine", "warmup": 0.2},
    )
    # Said by itself: a cosine over three times the updates has at three times the step the same rate.
    sections = ("generator_optimizer", "discriminator_optimizer")
    assert [updates_a_step(config, section) for section in sections] == [1, 3]
    rates = learning_rates(config, 50)
    assert set(rates) == {"generator_learning_rate", "discriminator_learning_rate"}
    generator = cosine(0.1, 25, warmup=0.2)
    discriminator = cosine(0.2, 150, warmup=0.2)
    for step in (0, 1, 7, 20, 49):
        assert rates["generator_learning_rate"](step) == pytest.approx(float(generator(step // 2)))
        assert rates["discriminator_learning_rate"](step) == pytest.approx(float(discriminator(step * 3)))


def test_values_of_another_type_are_refused():
    for changes in ({"train": {"batch_size": "many"}}, {"seed": 1.5}, {"checkpoint": {"keep": True}}):
        with pytest.raises(UserError, match="must be of type int"):
            experiment(data={"source": "digits"}, method={"name": "kmeans"}, **changes)


def test_evaluate_holds_the_arguments_of_what_it_names():
    config = tiny(evaluate={"run": ("knn",), "figures": ("pca",), "film": ("tsne",), "knn": {"k": 3}})
    assert {name for name in config.evaluate if name in JUDGES | FIGURES} == {"knn", "pca", "tsne"}
    assert config.evaluate.knn.to_dict() == {"k": 3}
    with pytest.raises(
        UserError, match=r"evaluate.tsne has arguments, and no list .* add it to figures or film"
    ):
        tiny(evaluate={"tsne": {"examples": 9}})


def test_what_is_named_later_gets_its_defaults_and_what_is_no_longer_named_goes():
    """On the command line, whose config is widened first, and in a script."""
    config = widened(tiny(evaluate={"run": ("knn",), "knn": {"k": 3}}))
    assert set(JUDGES | FIGURES) <= set(config.evaluate)
    config.evaluate.run, config.evaluate.tsne.examples = ("reconstruction",), 9
    assert set(settled(config).evaluate) == {*defaults(Evaluate), "reconstruction"}
    config.evaluate.film = ("tsne",)
    assert settled(config).evaluate.tsne.examples == 9
    config = tiny()
    config.evaluate.run = ("knn",)
    assert settled(config).evaluate.knn.to_dict() == defaults(JUDGES["knn"].run)
    config.evaluate.run = ("knnn",)
    with pytest.raises(UserError, match="did you mean 'knn'"):
        settled(config)


def test_a_plan_holds_plain_values():
    config = tiny(
        evaluate={"run": ("knn", "knn"), "figures": ("pca",), "knn": {"k": 3}},
        train={"steps": 7},
        profile_steps="2:4",
    )
    plan = resolve(config)
    assert plan.method == "autoencoder" and plan.source == "digits" and plan.train.steps == 7
    assert [(asked.name, dict(asked.arguments)) for asked in plan.judging.run] == [("knn", {"k": 3})]
    assert plan.judging.periodic == plan.judging.run and [a.name for a in plan.judging.asked] == [
        "knn",
        "pca",
    ]
    assert plan.traced == (2, 4) and plan.options["holdout"] == 0.2 and "feed" not in plan.options
    assert json.loads(json.dumps(plan.record)) == plan.record
    assert resolve_record(workdir_tuples(plan.record), "config.json").record == plan.record


def test_the_record_of_an_earlier_version():
    """It has the arguments of all judges, and lacks what came later."""
    record = workdir_tuples(resolve(tiny()).record)
    record["evaluate"] |= {name: defaults(judge.run) for name, judge in (JUDGES | FIGURES).items()}
    del record["evaluate"]["test_examples"], record["fsdp"]
    assert resolve_record(record, "config.json").record == resolve(tiny()).record
    with pytest.raises(UserError, match=r"here/config.json is no config of this version"):
        resolve_record({"method": {}, "data": {}}, "here/config.json")


def test_an_unknown_section_is_refused():
    with pytest.raises(UserError, match=r"config.encodr is unknown; did you mean 'encoder'"):
        tiny(encodr={"name": "mlp"})
