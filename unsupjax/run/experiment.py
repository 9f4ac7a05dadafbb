"""What a config stands for: its data, its method, its compiled step and its judges, joined."""

import contextlib
import functools
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from unsupjax.data import Source, arrays, downloads, open_source
from unsupjax.data.feeds import (
    Feed,
    by_category,
    categories_of,
    example_order,
    fits_in_memory,
    resident,
    streaming,
)
from unsupjax.data.kinds import Images, Kind
from unsupjax.data.kinds.columns import Index
from unsupjax.data.members import Members
from unsupjax.data.splits import ArraySplit, labels_at_hand, limited
from unsupjax.errors import UserError, first_line, nearest
from unsupjax.evaluate import OF_DATA, Facts, Subject, animate, learning_curves, subject
from unsupjax.methods import Method
from unsupjax.parallel.hardware import nominal_flops
from unsupjax.parallel.mesh import local, local_rows, make_mesh, place_batch, put_everywhere, state_sharding
from unsupjax.parallel.processes import alone, any_process, is_primary, primary_first, say
from unsupjax.run import loop, weights
from unsupjax.run.inputs import labels_of, seen_batch, seen_split
from unsupjax.run.plan import Asked, Plan, takers_of

BLOCK_BYTES = 64 * 2**20  # at most, of a streamed block of steps on the host
REACHED = 0.3  # of a device's nominal speed: what programs may be expected to reach
FRAME_EXAMPLES = 1000  # of each split, that a frame of a film may show


class Experiment(NamedTuple):
    """What a config stands for, ready to run; nothing has been written yet.

    Attributes:
        plan: its config, resolved.
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

    plan: Plan
    source: Source
    method: Method
    mesh: Mesh
    total_steps: int
    init: Callable[[], Any]
    abstract: Any
    shardings: Any
    batch: np.ndarray | tuple[np.ndarray, np.ndarray]
    example_bytes: int


def prepare(
    plan: Plan,
    kind: Kind | None = None,
    known: Members | None = None,
    trained: tuple[int, int] | None = None,
) -> Experiment:
    """Opens the data of a plan, builds its method, and checks both against each other and the devices.

    Args:
        plan: a config, resolved.
        kind: what an example is, where an earlier run found it.
        known: which examples there are and where they belong, likewise.
        trained: of a run that is only to be judged, how many examples it was trained on, and how many steps it has.

    Raises:
        UserError: for the first fault, naming the field and a valid choice.
    """
    with primary_first() if downloads(plan.source) else contextlib.nullcontext():
        source = open_source(plan.source, **plan.options, kind=kind, known=known)
    _check_mesh(plan.fsdp, plan.executor, jax.device_count())
    mesh, n, batch_size = make_mesh(fsdp=plan.fsdp), len(source.train), plan.train.batch_size
    total = plan.train.steps or math.ceil(plan.train.epochs * n / batch_size)
    learnt, total = trained or (n, total)
    if total < 1:
        raise UserError("config.train.steps and config.train.epochs ask for no step; set one of them above 0")
    key, see = jax.random.key(plan.seed), source.kind.see
    shape, rows = source.kind.example().shape, lambda: arrays(source.train)[0]
    method = seeing(plan.build(shape, learnt, total, kind=source.kind, rows=rows), see)
    # Batches that are chosen by category are drawn anew at every step: they may be larger than the split.
    if not trained:
        _check_batch(batch_size, math.inf if method.wants.asks else n, mesh.size)
    raw, labels = source.train.gather(example_order(np.arange(batch_size), n, plan.seed))
    batch = seen_batch(see, plan.transform, key, raw)
    _check_wants(plan, source, method)
    batch = (batch, labels) if method.wants.labels else batch
    try:
        abstract = jax.eval_shape(method.init, key, batch)
        if not all(x.size for x in jax.tree.leaves(abstract)):
            raise ValueError("a layer has no units; look at the features and widths of the config's networks")
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{plan.method} does not fit inputs of {raw.shape[1:]}: {error}") from error
    facts = _facts(plan, source)
    for name, judge, arguments in plan.judging.asked:
        judge.refuse(name, arguments, method, facts)
    shardings = state_sharding(abstract, mesh)
    init = lambda: jax.jit(method.init, out_shardings=shardings)(key, batch)
    if plan.weights:
        # Of a run that begins it is read now, before anything is written; one that goes on needs it no more.
        init = _from_weights(plan, init, source.kind, abstract, at_once=kind is None and not trained)
    return Experiment(plan, source, method, mesh, total, init, abstract, shardings, batch, raw[0].nbytes)


def _from_weights(plan: Plan, init: Callable, kind: Kind, abstract: Any, at_once: bool) -> Callable[[], Any]:
    """`init` with the weights of the file that the plan names. `method.init` stays as it is: what judges call
    an untrained encoder is one."""
    read = functools.cache(lambda: weights.read(plan, kind, abstract))
    if at_once:
        read()
    return lambda: weights.started(init(), read(), plan)


def _facts(plan: Plan, source: Source) -> Facts:
    """What judges may know of the data before a run."""
    judging = plan.judging
    train, test = (
        limited(split, most or None)
        for split, most in ((source.train, judging.train_examples), (source.test, judging.test_examples))
    )
    labels = labels_at_hand(train), labels_at_hand(test)
    return Facts(source.kind, len(train), len(test), *labels, source.label_names, source.normal)


def seeing(method: Method, see: Callable) -> Method:
    """The method, whose functions of inputs take these as they are stored as well."""
    # Of each, the place of the inputs among its arguments.
    place = {
        "encode": 1,
        "token_log_prob": 1,
        "denoise": 1,
        "assign": 1,
        "map": 1,
        "views": 1,
        "recommend": 1,
        "surprise": 1,
        "impute": 1,
    }
    place |= {"log_prob": 2, "fill": 2}

    def seen(f, i):
        return lambda *args: f(*args[:i], see(args[i]), *args[i + 1 :])

    return method._replace(
        **{n: seen(f, i) for n, i in place.items() if (f := getattr(method, n)) is not None}
    )


def _seen_range(source: Source) -> tuple[float, float]:
    """The least and the greatest value that a method may see of the training split."""
    if isinstance(source.kind, Images) or not isinstance(source.train, ArraySplit):
        return 0.0, 1.0
    return float(np.nanmin(source.train.x)), float(np.nanmax(source.train.x))


def _check_wants(plan: Plan, source: Source, method: Method) -> None:
    """Refuses data that has not what the method says it wants."""
    name, wants = plan.method, method.wants
    if wants.kinds and source.kind.name not in wants.kinds:
        raise UserError(f"the method {name!r} takes {' or '.join(wants.kinds)}, not {source.kind.name}")
    if plan.options["missing"] and not wants.missing:
        able = " or ".join(map(repr, takers_of("missing")))
        raise UserError(
            f"config.data.missing=True, and the method {name!r} takes every entry for observed; fill them in, or "
            f"take method {able} with config.method.missing=True"
        )
    columns = getattr(source.kind, "columns", ())
    if (places := next((c for c in columns if isinstance(c, Index)), None)) and not wants.embeds:
        raise UserError(
            f"column {places.name!r} has {places.size} categories, which the method {name!r} does not embed; set "
            f"config.data.embedded=0, group them, or take method 'mixed_rows'"
        )
    low, high = _seen_range(source)
    askers = dict([wants.unit_interval] if wants.unit_interval else [])
    if plan.transform is not None:  # what it draws lies in [0, 1] whatever it is given
        askers = {f"data.transform={plan.record['data']['transform']!r}": "set it to 'none'"}
    for asker, mend in askers.items():
        if not 0 <= low <= high <= 1:
            raise UserError(
                f"config.{asker} needs inputs in [0, 1], and those of {source.name} reach from {low:.3g} to "
                f"{high:.3g}; {mend}"
            )
    classes = len(source.label_names or ())
    if wants.labels and wants.labels != classes:
        raise UserError(
            f"config.method.labels={wants.labels}, and {source.name} has {classes or 'no'} classes; set it to "
            f"{classes}" + ("" if classes else ", an unconditional model")
        )


def _check_mesh(fsdp: int, executor: str, devices: int) -> None:
    if devices % fsdp:
        raise UserError(f"config.fsdp={fsdp} does not divide the {devices} devices; choose a divisor of them")
    if fsdp > 1 and executor != "jit":
        raise UserError(
            f"config.fsdp={fsdp} needs config.parallel='jit': under {executor!r} every device holds State whole"
        )


def _check_batch(batch_size: int, n_train: float, n_devices: int) -> None:
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


def _even(most: int, log_every: int) -> int:
    """At most `most` steps a call, and where possible so many that reports come at multiples of `log_every`."""
    most = max(1, min(most, log_every))
    return next((steps for steps in range(most, most // 2, -1) if log_every % steps == 0), most)


def make_feed(experiment: Experiment) -> Feed:
    """The feed that the config names; "auto" is resident where the training inputs fit in device memory."""
    plan, train = experiment.plan, experiment.source.train
    batch_size, feed = plan.train.batch_size, plan.feed
    if feed == "auto":
        beyond = any_process(not fits_in_memory(experiment.example_bytes * len(train)))
        feed = "streaming" if beyond else "resident"
    most = BLOCK_BYTES // (experiment.example_bytes * batch_size) if feed == "streaming" else 100
    steps = plan.train.steps_per_call or _even(min(100, most), plan.train.log_every)
    arguments = (batch_size, plan.seed, steps, local_rows(experiment.mesh, batch_size))
    asked = _by_category(experiment) if experiment.method.wants.asks else None
    if feed == "streaming":
        read = train.gather if experiment.method.wants.labels else lambda index: train.gather(index)[0]
        return streaming(read, len(train), *arguments, chosen=asked)
    data = arrays(train) if experiment.method.wants.labels else arrays(train)[0]
    return resident(put_everywhere(data, experiment.mesh), *arguments, chosen=asked)


def _by_category(experiment: Experiment) -> Callable:
    """The draws of batches whose examples are chosen by the categories that the method asks for."""
    plan, (x, _) = experiment.plan, arrays(experiment.source.train)
    rows = local_rows(experiment.mesh, plan.train.batch_size)
    found = categories_of(x, experiment.method.wants.asks)
    return by_category(*found, plan.train.batch_size, plan.seed, rows)


def compile_run(experiment: Experiment, feed: Feed) -> tuple[loop.Program, Feed]:
    """The blocks of steps of an experiment, checked against `config.checkpoint.best_metric`, and their feed.

    The feed is the one given, or with shorter blocks where these would keep metrics back for much over a second, and
    blocks of one step on CPU where a step has convolutions.
    """
    plan = experiment.plan
    train, best = plan.train, plan.checkpoint.best_metric
    run = loop.compile_block(
        experiment.method,
        feed,
        experiment.mesh,
        plan.executor,
        experiment.source.kind.see,
        plan.transform,
        experiment.shardings,
    )

    def lower(steps):
        block = next(iter(feed.blocks(0, min(steps, experiment.total_steps))))
        placed = place_batch(block, experiment.mesh, plan.executor, 1)
        try:
            return run.lower(experiment.abstract, placed, *feed.shared)
        except ValueError as error:
            raise UserError(
                f"{plan.method} cannot take a step with config.train.batch_size={train.batch_size} on "
                f"{experiment.mesh.size} devices: {error}"
            ) from error

    steps = feed.steps_per_call
    if not train.steps_per_call and jax.default_backend() == "cpu":
        # A kernel of four axes is a convolution's, most likely: asked in this order, few are lowered twice.
        likely = any(x.ndim == 4 for x in jax.tree.leaves(experiment.abstract))
        steps = 1 if "stablehlo.convolution" in lower(1 if likely else steps).as_text() else steps
    lowered = lower(steps)
    metrics = lowered.out_info[1]
    if best and best not in metrics and not train.evaluate_every:
        raise UserError(
            f"config.checkpoint.best_metric={best!r} is no metric of training; {nearest(best, metrics)}"
        )
    if not train.steps_per_call:
        rate = REACHED * nominal_flops(jax.devices()[0]) * experiment.mesh.size
        steps = min(steps, _even(int(rate / max(run.flops, 1)), train.log_every))
    return run, feed._replace(steps_per_call=steps)


def left_out(experiment: Experiment) -> tuple[str, ...]:
    """The evaluators and figures of a config that need labels where the data has none."""
    if experiment.source.label_names:
        return ()
    return tuple(a.name for a in experiment.plan.judging.asked if OF_DATA & set(a.judge.needs))


def _able(experiment: Experiment, named: tuple[Asked, ...]) -> list[Asked]:
    """Those that are not left out."""
    without = left_out(experiment)
    return [asked for asked in named if asked.name not in without]


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
    plan, source = experiment.plan, experiment.source
    key = jax.random.fold_in(jax.random.key(plan.seed), 1)
    limits = (limit or plan.judging.train_examples, limit or plan.judging.test_examples)
    splits = []
    for i, (split, most) in enumerate(zip((source.train, source.test), limits, strict=True)):
        split = limited(split, most or None)
        splits.append(seen_split(split, source.kind, plan.transform, jax.random.fold_in(key, i)))
    state = finished(experiment.method, local(state, experiment.mesh))
    judged = subject(experiment.method, state, key, *splits, source.label_names, init_batch=experiment.batch)
    labels = {"y_train": labels_of(*splits[0]), "y_test": labels_of(*splits[1])}
    series = source.test if hasattr(source.test, "timeline") else None
    return judged._replace(kind=source.kind, normal=source.normal, series=series, **labels)


def judge(
    experiment: Experiment, judged: Subject, named: tuple[Asked, ...]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The results of evaluators, each with its arguments; and why others gave none."""
    results, faults = {}, []
    for _, judge, arguments in _able(experiment, named):
        try:
            results |= judge.run(judged, **arguments)
        except UserError as error:  # what others found is not lost
            faults.append(str(error))
    return results, tuple(faults)


def draw(experiment: Experiment, judged: Subject, folder: pathlib.Path, metrics: pathlib.Path) -> None:
    """Draws the figures of a plan, of a subject with `results`, and the curves of `metrics` below `folder / "figures"`;
    the primary does."""
    figures = folder / "figures"
    if not is_primary():
        return
    figures.mkdir(exist_ok=True)
    curves = figures / "learning_curves.png"
    _drawn("learning_curves", lambda: learning_curves(metrics, curves))
    with alone():
        for name, judge, arguments in _able(experiment, experiment.plan.judging.figures):
            _drawn(name, functools.partial(judge.run, judged, figures / f"{name}.png", **arguments))


def _drawn(name: str, run: Callable[[], None]) -> None:
    """Draws a figure, or says why it cannot be drawn: whatever a library of figures finds wrong ends no run."""
    try:
        run()
    except OSError:
        raise  # a full disk is not the figure's fault
    except Exception as error:
        say(f"the figure {name!r} is left out: {first_line(error)}", sys.stderr)


def draw_frames(experiment: Experiment, state: Any, folder: pathlib.Path, step: int) -> None:
    """Draws the film of a plan as of `step` below `folder / "film"`, always from the same keys and examples."""
    judged = make_subject(experiment, state, FRAME_EXAMPLES)
    if not is_primary():
        return
    with alone():
        for name, judge, arguments in _able(experiment, experiment.plan.judging.film):
            frames = folder / "film" / name
            frames.mkdir(parents=True, exist_ok=True)
            _drawn(name, functools.partial(judge.run, judged, frames / f"{step:08d}.png", **arguments))


def join_frames(experiment: Experiment, folder: pathlib.Path) -> None:
    """Joins the frames of each figure into an animation in `folder / "figures"`."""
    for name, *_ in _able(experiment, experiment.plan.judging.film):
        frames = sorted((folder / "film" / name).glob("*.png"))
        if frames:
            animate(frames, folder / "figures" / f"{name}.gif")
