"""What a config stands for: its data, its method, its compiled step and its judges, joined."""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from unsupjax import config as configs
from unsupjax.data import Source, arrays, downloads, open_source
from unsupjax.data.feeds import Feed, by_category, example_order, fits_in_memory, resident, streaming
from unsupjax.data.kinds import Kind
from unsupjax.errors import UserError, nearest
from unsupjax.evaluate import (
    CHECKS,
    EVALUATORS,
    FIGURES,
    NEEDS,
    Subject,
    animate,
    learning_curves,
    require,
    subject,
)
from unsupjax.methods import METHODS, Method
from unsupjax.parallel.collectives import example_keys
from unsupjax.parallel.hardware import nominal_flops
from unsupjax.parallel.mesh import local, local_rows, make_mesh, place_batch, put_everywhere, state_sharding
from unsupjax.parallel.processes import alone, any_process, is_primary, primary_first
from unsupjax.run import loop

BLOCK_BYTES = 64 * 2**20  # at most, of a streamed block of steps on the host
REACHED = 0.3  # of a device's nominal speed: what programs may be expected to reach
FRAME_EXAMPLES = 1000  # of each split, that a frame of a film may show
SEEN_AT_ONCE = 4096  # examples on the device, of a split that is to be judged


class Experiment(NamedTuple):
    """What a config stands for, ready to run; nothing has been written yet.

    Attributes:
        config: the complete config.
        source: its data.
        method: its method.
        mesh: all devices.
        total_steps: length of the run.
        init: `() -> State`, on the devices.
        abstract: the shapes and dtypes of State.
        shardings: where each array of State lies.
        batch: the first inputs, which `init` is given.
        example_bytes: of one input as it is stored.
    """

    config: ml_collections.ConfigDict
    source: Source
    method: Method
    mesh: Mesh
    total_steps: int
    init: Callable[[], Any]
    abstract: Any
    shardings: Any
    batch: np.ndarray | tuple[np.ndarray, np.ndarray]
    example_bytes: int


def prepare(config: ml_collections.ConfigDict, kind: Kind | None = None) -> Experiment:
    """Checks a config against its factories, its data and the devices.

    Args:
        config: as `unsupjax.config.experiment` makes it.
        kind: what an example is, where an earlier run found it.

    Raises:
        UserError: for the first fault, naming the field and a valid choice.
    """
    configs.check(config)
    settings = configs.defaults(configs.data_settings)
    options = {k: v for k, v in config.data.to_dict().items() if k not in settings}
    with primary_first() if downloads(config.data.source) else contextlib.nullcontext():
        source = open_source(config.data.source, **options, kind=kind)
    _check_mesh(config, jax.device_count())
    mesh, n = make_mesh(fsdp=config.fsdp), len(source.train)
    total = config.train.steps or math.ceil(config.train.epochs * n / config.train.batch_size)
    if total < 1:
        raise UserError("config.train.steps and config.train.epochs ask for no step; set one of them above 0")
    order = example_order(np.arange(config.train.batch_size), n, config.seed)
    key = jax.random.key(config.seed)
    raw, labels = source.train.gather(order)
    batch = _inputs(config, source.kind, key, raw)
    rows = lambda: arrays(source.train)[0]
    method = configs.build(config, source.kind.example().shape, n, total, kind=source.kind, rows=rows)
    method = _seeing(method, source.kind.see)
    # Batches that are chosen by category are drawn anew at every step: they may be larger than the split.
    _check_batch(config.train.batch_size, math.inf if method.wants.asks else n, mesh.size)
    _check_wants(config, source, method, batch)
    batch = (batch, labels) if method.wants.labels else batch
    try:
        abstract = jax.eval_shape(method.init, key, batch)
        if not all(x.size for x in jax.tree.leaves(abstract)):
            raise ValueError("a layer has no units; look at the features and widths of the config's networks")
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{config.method.name} does not fit inputs of {raw.shape[1:]}: {error}") from error
    for name in _judges(config):
        for function in set(NEEDS[name]) - {"labels"}:
            require.function(method, function, name)
        if name in CHECKS:
            CHECKS[name](config.evaluate[name], raw.shape[1:])
    shardings = state_sharding(abstract, mesh)
    init = lambda: jax.jit(method.init, out_shardings=shardings)(key, batch)
    return Experiment(config, source, method, mesh, total, init, abstract, shardings, batch, raw[0].nbytes)


def _seeing(method: Method, see: Callable) -> Method:
    """The method, whose functions of inputs take these as they are stored as well."""
    place = {
        "encode": 1,
        "assign": 1,
        "map": 1,
        "views": 1,
        "log_prob": 2,
    }  # of the inputs among the arguments

    def seen(f, i):
        return lambda *args: f(*args[:i], see(args[i]), *args[i + 1 :])

    return method._replace(
        **{n: seen(f, i) for n, i in place.items() if (f := getattr(method, n)) is not None}
    )


def _judges(config: ml_collections.ConfigDict) -> tuple[str, ...]:
    """The evaluators and figures that a config names."""
    section = config.evaluate
    return tuple(dict.fromkeys((*section.run, *section.periodic, *section.figures, *section.film)))


def _check_wants(
    config: ml_collections.ConfigDict, source: Source, method: Method, batch: np.ndarray
) -> None:
    """Refuses data that has not what the method says it wants."""
    name, wants = config.method.name, method.wants
    if wants.kinds and source.kind.name not in wants.kinds:
        raise UserError(f"the method {name!r} takes {' or '.join(wants.kinds)}, not {source.kind.name}")
    if config.data.missing and not wants.missing:
        able = [repr(n) for n, factory in METHODS.items() if "missing" in configs.defaults(factory)]
        raise UserError(
            f"config.data.missing=True, and the method {name!r} takes every entry for observed; fill them in, or "
            f"take method {' or '.join(able)} with config.method.missing=True"
        )
    low, high = batch.min(), batch.max()
    if wants.unit_interval and not 0 <= low <= high <= 1:
        raise UserError(
            f"config.method.{wants.unit_interval} needs inputs in [0, 1], and those of {config.data.source} reach "
            f"from {low:.3g} to {high:.3g}; set it to 'squared_error' or 'gaussian'"
        )
    classes = len(source.label_names or ())
    if wants.labels and wants.labels != classes:
        raise UserError(
            f"config.method.labels={wants.labels}, and {source.name} has {classes or 'no'} classes; set it to "
            f"{classes}" + ("" if classes else ", an unconditional model")
        )


def _check_mesh(config: ml_collections.ConfigDict, devices: int) -> None:
    if devices % config.fsdp:
        raise UserError(
            f"config.fsdp={config.fsdp} does not divide the {devices} devices; choose a divisor of them"
        )
    if config.fsdp > 1 and config.parallel != "jit":
        raise UserError(
            f"config.fsdp={config.fsdp} needs config.parallel='jit': under {config.parallel!r} every device holds "
            "State whole"
        )


def _check_batch(batch_size: int, n_train: int, n_devices: int) -> None:
    if batch_size > n_train:
        raise UserError(
            f"config.train.batch_size={batch_size} is larger than the training split of {n_train} examples; "
            f"choose at most {n_train // n_devices * n_devices}"
        )
    if batch_size % n_devices:
        near = max(batch_size // n_devices, 1) * n_devices
        raise UserError(
            f"config.train.batch_size={batch_size} is not divisible by {n_devices} devices; choose {near}"
        )


def _inputs(config: ml_collections.ConfigDict, kind: Kind, key: jax.Array, raw: np.ndarray) -> np.ndarray:
    """Inputs as the method sees them, on the host; what a transform draws for one depends on `key` and its place alone.

    The device holds no more than some thousands of them at once.
    """
    see = _seer(kind.see, configs.TRANSFORMS[config.data.transform])
    keys = example_keys(key, len(raw), None)
    example = kind.example()
    seen = np.empty((len(raw), *example.shape), example.dtype)
    for start in range(0, len(raw), SEEN_AT_ONCE):
        part = slice(start, start + SEEN_AT_ONCE)
        seen[part] = see(keys[part], raw[part])
    return seen


@functools.lru_cache(maxsize=8)
def _seer(see: Callable, transform: Callable | None) -> Callable:
    """`(keys, stored) -> seen`, compiled. Told apart by functions: as tuples, kinds of one shape are equal."""
    if transform is None:
        return jax.jit(lambda keys, stored: see(stored))
    return jax.jit(lambda keys, stored: jax.vmap(transform)(keys, see(stored)))


def _steps_per_call(experiment: Experiment, streamed: bool) -> int:
    train = experiment.config.train
    if train.steps_per_call:
        return train.steps_per_call
    convolutional = any(x.ndim == 4 for x in jax.tree.leaves(experiment.abstract))
    if convolutional and jax.default_backend() == "cpu":
        return 1
    batch_bytes = experiment.example_bytes * train.batch_size
    return _even(min(100, BLOCK_BYTES // batch_bytes if streamed else 100), train.log_every)


def _even(most: int, log_every: int) -> int:
    """At most `most` steps a call, and where possible so many that reports come at multiples of `log_every`."""
    most = max(1, min(most, log_every))
    return next((steps for steps in range(most, most // 2, -1) if log_every % steps == 0), most)


def make_feed(experiment: Experiment) -> Feed:
    """The feed that the config names; "auto" is resident where the training inputs fit in device memory."""
    config, train = experiment.config, experiment.source.train
    feed = config.data.feed
    if feed == "auto":
        beyond = any_process(not fits_in_memory(experiment.example_bytes * len(train)))
        feed = "streaming" if beyond else "resident"
    steps = _steps_per_call(experiment, feed == "streaming")
    arguments = (
        config.train.batch_size,
        config.seed,
        steps,
        local_rows(experiment.mesh, config.train.batch_size),
    )
    chosen = _chosen(experiment) if experiment.method.wants.asks else None
    if feed == "streaming":
        read = train.gather if experiment.method.wants.labels else lambda index: train.gather(index)[0]
        return streaming(read, len(train), *arguments, chosen=chosen)
    data = arrays(train) if experiment.method.wants.labels else arrays(train)[0]
    return resident(put_everywhere(data, experiment.mesh), *arguments, chosen=chosen)


def _chosen(experiment: Experiment) -> Callable:
    """The draws of batches whose examples are chosen by the categories that the method asks for."""
    config, (x, _) = experiment.config, arrays(experiment.source.train)
    spans = experiment.method.wants.asks
    codes = np.stack([x[:, start : start + size].argmax(axis=1) for start, size in spans], axis=1)
    rows = local_rows(experiment.mesh, config.train.batch_size)
    return by_category(codes, tuple(size for _, size in spans), config.train.batch_size, config.seed, rows)


def compile_run(experiment: Experiment, feed: Feed) -> tuple[loop.Program, Feed]:
    """The blocks of steps of an experiment, checked against `config.checkpoint.best_metric`, and their feed.

    The feed is the one given, or with shorter blocks where these would keep metrics back for much over a second.
    """
    config = experiment.config
    transform = configs.TRANSFORMS[config.data.transform]
    run = loop.compile_block(
        experiment.method,
        feed,
        experiment.mesh,
        config.parallel,
        experiment.source.kind.see,
        transform,
        experiment.shardings,
    )
    block = next(iter(feed.blocks(0, min(feed.steps_per_call, experiment.total_steps))))
    placed = place_batch(block, experiment.mesh, config.parallel, 1)
    try:
        metrics = run.lower(experiment.abstract, placed, *feed.shared).out_info[1]
    except ValueError as error:
        raise UserError(
            f"{config.method.name} cannot take a step with config.train.batch_size={config.train.batch_size} on "
            f"{experiment.mesh.size} devices: {error}"
        ) from error
    best = config.checkpoint.best_metric
    if best and best not in metrics and not config.train.evaluate_every:
        raise UserError(
            f"config.checkpoint.best_metric={best!r} is no metric of training; {nearest(best, metrics)}"
        )
    rate = REACHED * nominal_flops(jax.devices()[0]) * experiment.mesh.size
    steps = _even(int(rate / max(run.flops, 1)), config.train.log_every)
    if config.train.steps_per_call or steps >= feed.steps_per_call:
        return run, feed
    return run, feed._replace(steps_per_call=steps)


def left_out(config: ml_collections.ConfigDict, source: Source) -> tuple[str, ...]:
    """The evaluators and figures of a config that need labels where the data has none."""
    return () if source.label_names else tuple(name for name in _judges(config) if "labels" in NEEDS[name])


def finished(method: Method, state: Any) -> Any:
    """State as the method's functions are to use it: `method.finish` of it, for methods that have one."""
    return state if method.finish is None else _finisher(method.finish)(state)


@functools.lru_cache(maxsize=8)
def _finisher(finish: Callable) -> Callable:
    return jax.jit(finish)


def make_subject(experiment: Experiment, state: Any, limit: int | None = None) -> Subject:
    """What evaluators and figures judge: State, data and codes; the same draws at every call.

    Args:
        experiment: the experiment.
        state: its State.
        limit: at most this many examples of each split.
    """
    config, source = experiment.config, experiment.source
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    state, splits = finished(experiment.method, local(state, experiment.mesh)), []
    limits = (limit or config.evaluate.train_examples or None, limit or config.evaluate.test_examples or None)
    for i, (split, most) in enumerate(zip((source.train, source.test), limits, strict=True)):
        x, y = arrays(split, most)
        splits.append((_inputs(config, source.kind, jax.random.fold_in(key, i), x), y))
    judged = subject(experiment.method, state, key, *splits, source.label_names, init_batch=experiment.batch)
    return judged._replace(kind=source.kind)


def judge(experiment: Experiment, judged: Subject, names: tuple[str, ...]) -> dict[str, float]:
    """The results of evaluators, each with its section's arguments."""
    config, results = experiment.config, {}
    for name in names:
        if name not in left_out(config, experiment.source):
            results |= EVALUATORS[name](judged, **config.evaluate[name])
    return results


def draw(experiment: Experiment, judged: Subject, folder: pathlib.Path) -> None:
    """Draws `config.evaluate.figures` and the learning curves below `folder / "figures"`; the primary does."""
    config = experiment.config
    figures = folder / "figures"
    if not is_primary():
        return
    figures.mkdir(exist_ok=True)
    learning_curves(folder / "metrics.jsonl", figures / "learning_curves.png")
    with alone():
        for name in config.evaluate.figures:
            if name not in left_out(config, experiment.source):
                FIGURES[name](judged, figures / f"{name}.png", **config.evaluate[name])


def draw_frames(experiment: Experiment, state: Any, folder: pathlib.Path, step: int) -> None:
    """Draws `config.evaluate.film` as of `step` below `folder / "film"`, always from the same keys and examples."""
    judged = make_subject(experiment, state, FRAME_EXAMPLES)
    if not is_primary():
        return
    with alone():
        for name in _film(experiment):
            frames = folder / "film" / name
            frames.mkdir(parents=True, exist_ok=True)
            FIGURES[name](judged, frames / f"{step:08d}.png", **experiment.config.evaluate[name])


def join_frames(experiment: Experiment, folder: pathlib.Path) -> None:
    """Joins the frames of each figure into an animation in `folder / "figures"`."""
    for name in _film(experiment):
        frames = sorted((folder / "film" / name).glob("*.png"))
        if frames:
            animate(frames, folder / "figures" / f"{name}.gif")


def _film(experiment: Experiment) -> list[str]:
    """The figures of the film, but those that need labels where the data has none."""
    config = experiment.config
    return [name for name in config.evaluate.film if name not in left_out(config, experiment.source)]
