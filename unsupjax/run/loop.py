"""The training loop: runs blocks of steps, watches their metrics, and says when to save. It knows no method."""

import contextlib
import itertools
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from unsupjax.data.feeds import Feed, block_length
from unsupjax.methods.base import Method
from unsupjax.parallel.collectives import example_keys
from unsupjax.parallel.mesh import axis_name, compile_step, gather_for

# Names the stream of what transforms draw; methods draw from fold_in(key, step), and no step is this.
INPUTS = 2**31


class Diverged(RuntimeError):
    """The loss or the State is no longer finite."""


def compile_block(
    method: Method,
    feed: Feed,
    mesh: Mesh,
    executor: str,
    see: Callable,
    transform: Callable | None = None,
    shardings: Any = None,
) -> "Program":
    """Compiles `(state, block [T, ...], *feed.shared) -> (state, metrics [T])`: T steps in one call.

    A step takes a batch from the feed, sees it (`see(stored) -> x`, of the data's kind), applies `transform(key, x)` to
    each example with the example's own key, and calls `method.step`. Where the feed gives pairs of inputs and
    labels, so it gets.
    `shardings` are those of State, of `parallel.state_sharding`; None: it lies whole on every device.
    """
    name = axis_name(executor)
    method_step = gather_for(method.step, shardings, mesh)

    def inputs(state, raw):
        if isinstance(raw, tuple):
            return inputs(state, raw[0]), raw[1]
        x = see(raw)
        if transform is None:
            return x
        key = jax.random.fold_in(jax.random.fold_in(state.key, INPUTS), state.step)
        return jax.vmap(transform)(example_keys(key, x.shape[0], name), x)

    def block_of_steps(state, block, *shared):
        step = lambda state, raw: method_step(state, inputs(state, feed.batch(raw, *shared)))
        if block_length(block) == 1:  # no loop: XLA:CPU runs gradients of convolutions inside one far slower
            state, metrics = step(state, jax.tree.map(lambda x: x[0], block))
            return state, jax.tree.map(lambda x: x[None], metrics)
        return jax.lax.scan(step, state, block)

    jitted = compile_step(
        block_of_steps, mesh, executor, batch_axis=1, shared=len(feed.shared), state=shardings
    )
    return Program(jitted, mesh.size if executor == "pmap" else 1)


class Program:
    """A block of steps, compiled for each length when it is first asked for.

    Attributes:
        flops: floating-point operations of a step, over all devices, as XLA counts them in the program before it is
            optimised; the body of a loop inside a step counts once. 0 until something is lowered.
    """

    def __init__(self, jitted: Callable, parts: int):
        """A program of `jit`, or of `pmap` that has so many equal `parts`."""
        self.flops = 0.0
        self._jitted, self._parts = jitted, parts
        self._lowered, self._compiled = {}, {}

    def lower(self, state: Any, block: Any, *shared: Any) -> jax.stages.Lowered:
        """The program for blocks like this one, traced and not yet compiled; arguments may be shapes."""
        length = block_length(block)
        if length not in self._lowered:
            self._lowered[length] = lowered = self._jitted.lower(state, block, *shared)
            # The scan over steps is a loop as well: its body is a step.
            self.flops = (lowered.cost_analysis() or {}).get("flops", 0.0) * self._parts
        return self._lowered[length]

    def prepare(self, state: Any, block: Any, *shared: Any) -> Callable:
        """The executable for blocks like this one."""
        if self._parts > 1:
            return (
                self._jitted
            )  # pmap's executables take no shares of several processes: it compiles when called
        length = block_length(block)
        if length not in self._compiled:
            self._compiled[length] = self.lower(state, block, *shared).compile()
        return self._compiled[length]

    def __call__(self, state: Any, block: Any, *shared: Any) -> tuple[Any, dict[str, jax.Array]]:
        """Runs a block."""
        return self.prepare(state, block, *shared)(state, block, *shared)


class Report(NamedTuple):
    """Means of the metrics over the steps since the last report; pauses do not count in examples per second."""

    step: int
    metrics: dict[str, float]
    examples_per_second: float


class Meter:
    """Collects the metrics of blocks and reports their means every `every` steps; refuses a loss that is not finite.

    `converged` turns True when a step's metric of that name is 1.
    """

    def __init__(self, batch_size: int, every: int):
        self.converged = False
        self._batch_size, self._every = batch_size, every
        self._blocks: list[dict[str, np.ndarray]] = []
        self._since, self._steps = time.perf_counter(), 0

    def add(self, step: int, metrics: dict[str, jax.Array]) -> Report | None:
        """Waits for a block that ended at `step`; a Report when one is due."""
        fetched = {name: np.asarray(values) for name, values in metrics.items()}
        bad = ~np.isfinite(fetched["loss"])
        if bad.any():
            first = step - len(bad) + 1 + int(bad.argmax())
            raise Diverged(f"the loss is {fetched['loss'][bad][0]} at step {first}")
        self.converged |= bool(np.any(fetched.get("converged", False)))
        self._blocks.append(fetched)
        self._steps += len(bad)
        return self.report(step) if step // self._every > (step - len(bad)) // self._every else None

    def exclude(self, seconds: float) -> None:
        """Takes a pause out of the time that examples per second are computed from."""
        self._since += seconds

    def report(self, step: int) -> Report | None:
        """What was collected since the last report, if anything."""
        if not self._blocks:
            return None
        now = time.perf_counter()
        rate = self._steps * self._batch_size / (now - self._since)
        means = {k: float(np.concatenate([b[k] for b in self._blocks]).mean()) for k in self._blocks[0]}
        self._blocks, self._steps, self._since = [], 0, now
        return Report(step, means, rate)


class Asked(NamedTuple):
    """What a run is asked after a block; the same on every process.

    Attributes:
        stop: to save and end.
        rested: whether enough time went by since the last checkpoint for another.
    """

    stop: bool
    rested: bool


def train(
    run: Callable,
    state: Any,
    feed: Feed,
    place: Callable,
    *,
    start: int,
    stop: int,
    meter: Meter,
    on_report: Callable[[Report], None],
    save_every: int,
    evaluate_every: int,
    on_pause: Callable[[int, Any], None],
    ask: Callable[[], Asked],
    trace: "Trace | None" = None,
) -> tuple[int, Any]:
    """Runs steps `start` to `stop`; returns the step that was reached and the State there.

    Metrics are fetched one block late, so that the device never waits for the host, except before a pause. A run
    that has converged therefore ends a block later; by the contract of `converged` that changes nothing.

    Args:
        run: a compiled block of steps.
        state: the State at `start`; donated.
        feed: where blocks come from.
        place: puts a block on the devices.
        start, stop: steps.
        meter: what watches and averages metrics.
        on_report: called with each Report.
        save_every, evaluate_every: after each multiple of these step counts (0: never), and at the end,
            `on_pause(step, state)` is called, all metrics up to that step having been seen. For a checkpoint that
            waits until the run is `rested`.
        on_pause: saves and evaluates.
        ask: called after every block.
        trace: steps to profile; blocks are cut at its ends.
    """
    step, waiting, saving = start, None, False
    passed = lambda every, before, step: bool(every) and step // every > before // every

    def see(waiting):
        if waiting is not None and (report := meter.add(*waiting)) is not None:
            on_report(report)

    for block in _blocks(feed, start, stop, trace.steps if trace else ()):
        before, step, placed = step, step + block_length(block), place(block)
        if trace and before == trace.steps[0]:
            run.prepare(state, placed, *feed.shared)  # compiling is no part of the profile
            trace.begin()
        state, metrics = run(state, placed, *feed.shared)
        see(waiting)
        waiting = (step, metrics)
        if trace and step == trace.steps[1]:
            jax.block_until_ready(metrics)
            trace.end()
        asked = ask()
        saving |= passed(save_every, before, step)
        ending = step == stop or meter.converged or asked.stop
        if ending or (saving and asked.rested) or passed(evaluate_every, before, step):
            see(waiting)
            waiting, saving = None, False
            if ending and (report := meter.report(step)) is not None:
                on_report(report)
            paused = time.perf_counter()
            on_pause(step, state)
            meter.exclude(time.perf_counter() - paused)
        if ending:
            break
    if trace:
        trace.end()
    return step, state


def _blocks(feed: Feed, start: int, stop: int, cuts: tuple[int, ...]) -> Iterator:
    """The blocks from `start` to `stop`, none of which reaches over a cut."""
    ends = sorted({start, stop, *(cut for cut in cuts if start < cut < stop)})
    return itertools.chain.from_iterable(feed.blocks(*span) for span in itertools.pairwise(ends))


class Trace:
    """A profile of the steps from `steps[0]` up to, not including, `steps[1]`."""

    def __init__(self, steps: tuple[int, int], folder: pathlib.Path):
        """Into `folder`, for TensorBoard's profile plugin, XProf or Perfetto."""
        self.steps, self._folder, self._running = steps, folder, False

    def begin(self) -> None:
        """Starts to record."""
        jax.profiler.start_trace(self._folder)
        self._running = True

    def end(self) -> None:
        """Writes what was recorded, if anything."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """SIGTERM and the first SIGINT ask for an orderly end; gives the function that tells whether they did."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(signum, frame):
        asked.set()
        if signum == signal.SIGINT:  # a second Ctrl-C stops at once
            signal.signal(signal.SIGINT, signal.default_int_handler)

    earlier = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for signum, handler in earlier.items():
            signal.signal(signum, handler)


class Progress:
    """A bar on a terminal; elsewhere a plain line, at most one in `seconds`."""

    def __init__(self, start: int, stop: int, seconds: float = 5.0):
        self._start, self._stop, self._seconds = start, stop, seconds
        self._begun = self._shown = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=stop, initial=start, unit="step", dynamic_ncols=True)

    def show(self, report: Report, share: float | None = None) -> None:
        """Shows steps, loss, examples per second, the share of the devices' peak where it is known, and time left."""
        text = f"loss {report.metrics['loss']:.5g}, {report.examples_per_second:,.0f} examples/s"
        if share is not None:
            text += f", {share:.0%} of peak"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(report.step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._shown >= self._seconds or report.step == self._stop:
            self._shown = now
            left = (now - self._begun) / (report.step - self._start) * (self._stop - report.step)
            print(f"step {report.step}/{self._stop}: {text}, {left:.0f} s left", flush=True)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
