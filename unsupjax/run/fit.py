"""Runs an experiment in a folder: trains or resumes, evaluates, draws."""

import contextlib
import html
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from unsupjax import arrays
from unsupjax.data import kinds
from unsupjax.data.feeds import Feed
from unsupjax.data.kinds import Kind, Table
from unsupjax.data.members import Members, digest, repeated
from unsupjax.errors import UserError
from unsupjax.evaluate import CALIBRATION, calibration, summary
from unsupjax.parallel import hardware
from unsupjax.parallel.hardware import divide_cpu, memory, peak_flops
from unsupjax.parallel.heap import keep_freed_memory
from unsupjax.parallel.mesh import everywhere, local, place_batch
from unsupjax.parallel.processes import Votes, is_primary, say, together
from unsupjax.run import experiment as experiments
from unsupjax.run import loop, workdir
from unsupjax.run import plan as plans
from unsupjax.run.checkpoint import Checkpoints, snapshot
from unsupjax.run.experiment import Experiment
from unsupjax.run.plan import Plan


class Results(dict):
    """Numbers by their names, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{html.escape(k)}</th><td>{v:.5g}</td></tr>" for k, v in self.items())
        return f"<table>{''.join(rows)}</table>"


OnMetrics = Callable[[int, dict[str, float]], bool | None]


def fit(
    config: ml_collections.ConfigDict, folder: str | pathlib.Path, on_metrics: OnMetrics | None = None
) -> Results:
    """Trains what `config` describes, from the newest checkpoint in `folder` if it has one, and evaluates it.

    The folder gets `config.json`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`, and at the end
    `evaluation.json` and `figures/`. The same call resumes an interrupted run and gives, bit for bit, the
    parameters of an undisturbed one. On Linux the process keeps the memory that it frees (`parallel.heap`).

    Args:
        config: as `unsupjax.config.experiment` makes it.
        folder: the run's folder; made if need be.
        on_metrics: is called with (step, metrics) of each report, with the means of an interval, and of each
            evaluation, on the primary process. Where it returns True the run is saved and stops, as after SIGTERM. What
            it raises ends the run.

    Returns:
        the results of the evaluators by name; empty where SIGTERM, SIGINT or `on_metrics` ended the run before its
        last step.

    Raises:
        UserError: bad input, and nothing was written; or a folder that is in use or can no longer be written.
        loop.Diverged: the loss or the parameters are not finite; the last good checkpoint is left.
    """
    folder = pathlib.Path(folder)
    keep_freed_memory()
    with together():
        planned = plans.resolve(config)
        divide_cpu(planned.cpu_devices, planned.train.batch_size)
        workdir.check_writable(folder)
        _check_config(folder, planned)
        known = _saved(planned, folder)
    with together():
        experiment = experiments.prepare(planned, *known)
    with together():
        run, feed = experiments.compile_run(experiment, experiments.make_feed(experiment))
    with contextlib.ExitStack() as held, workdir.writing(folder):
        with together():
            if is_primary():
                held.enter_context(workdir.locked(folder))
                _check_config(folder, planned)
                workdir.write_json(folder / workdir.CONFIG, planned.record)
                if known == (None, None) or not (folder / workdir.MODEL).exists():
                    members = experiment.source.members()
                    if again := repeated(members, experiment.source.train):
                        say(
                            f"{again} of the test examples are training examples as well, with the same values"
                        )
                    workdir.write_members(folder, members)
                    workdir.write_json(folder / workdir.MODEL, _model(experiment, digest(members)))
        return _run(experiment, run, feed, folder, on_metrics)


def _run(
    experiment: Experiment,
    run: loop.Program,
    feed: Feed,
    folder: pathlib.Path,
    on_metrics: OnMetrics | None = None,
) -> Results:
    checkpoints = _open_checkpoints(experiment.plan, folder)
    start, state = _restore_or_init(experiment, checkpoints)
    _announce(experiment, feed, start)
    _say_longer(experiment, folder, start)
    step, state, converged = start, state, False
    if start < experiment.total_steps:
        told = Told(on_metrics)
        step, state, converged = _train(experiment, run, feed, folder, checkpoints, start, state, told)
    checkpoints.close()
    if converged:
        say(f"converged: nothing changes after step {step} of at most {experiment.total_steps}")
    elif step < experiment.total_steps:
        say(f"stopped at step {step} of {experiment.total_steps}, saved; run the same command to go on")
        return Results()
    results = _finish(experiment, state, folder)
    if on_metrics and is_primary():
        on_metrics(step, dict(results))
    return results


def evaluate(
    folder: str | pathlib.Path,
    change: Callable[[ml_collections.ConfigDict], ml_collections.ConfigDict] | None = None,
) -> Results:
    """Evaluates and draws the newest checkpoint of `folder`, as the config that lies there says.

    Args:
        folder: of the run.
        change: makes of its config another one, with other evaluators, figures or data. Of the run's data, results are
            added to its `evaluation.json`; those of other data lie in `evaluations/` and a name made of the source.

    Raises:
        UserError: no run in the folder, or no whole checkpoint; a change that would not change what is judged.
    """
    folder = pathlib.Path(folder)
    planned = _saved_plan(folder)
    if change is None:
        with workdir.writing(folder):
            return _finish(*_restored(folder, planned), folder)
    changed = plans.resolve(change(ml_collections.ConfigDict(workdir.tuples(planned.record))))
    workdir.check_judged(planned.record, changed.record)
    same = workdir.same_data(planned.record, changed.record)
    out = folder if same else folder / "evaluations" / workdir.name_of(changed.source)
    with workdir.writing(out):
        return _finish(*_restored(folder, changed, same), out, folder / "metrics.jsonl")


def load(folder: str | pathlib.Path) -> tuple[Experiment, Any]:
    """The experiment of a run and the State of its newest checkpoint, for `experiment.method`'s functions.

    Raises:
        UserError: no run in the folder, or no whole checkpoint.
    """
    folder = pathlib.Path(folder)
    experiment, state = _restored(folder, _saved_plan(folder))
    return experiment, experiments.finished(experiment.method, state)


def _restored(folder: pathlib.Path, planned: Plan, same_data: bool = True) -> tuple[Experiment, Any]:
    """The experiment of a run and the State of its newest checkpoint, as it lies there."""
    kind, members = _saved(planned, folder)
    trained = None
    if (folder / workdir.MODEL).exists():
        facts = workdir.read_model(folder)["facts"]
        trained = facts["examples"], facts["total_steps"]
    experiment = experiments.prepare(planned, kind, members if same_data else None, trained)
    checkpoints = _open_checkpoints(planned, folder, read_only=True)
    restored = checkpoints.restore(experiment.abstract, experiment.shardings)
    checkpoints.close()
    if restored is None:
        raise UserError(f"--workdir={folder} has no whole checkpoint; train it first")
    return experiment, local(restored.state, experiment.mesh)


def _open_checkpoints(planned: Plan, folder: pathlib.Path, read_only: bool = False) -> Checkpoints:
    chosen = planned.checkpoint
    return Checkpoints(folder / "checkpoints", chosen.keep, chosen.best_metric, chosen.best_mode, read_only)


def _saved_plan(folder: pathlib.Path) -> Plan:
    return plans.resolve_record(workdir.read_config(folder), folder / workdir.CONFIG)


def _check_config(folder: pathlib.Path, planned: Plan) -> None:
    """Refuses a folder with a run of another config."""
    if (folder / workdir.CONFIG).exists():
        workdir.check_config(folder, _saved_plan(folder).record, planned.record)


def _model(experiment: Experiment, members: str) -> dict:
    """What is known of a run's data, for whoever uses the model without them: `model.json`."""
    source = experiment.source
    return {
        "format": workdir.MODEL_FORMAT,
        "kind": source.kind.to_json(),
        "class_names": source.label_names and list(source.label_names),
        "facts": {
            "examples": len(source.train),
            "total_steps": experiment.total_steps,
            "members": members,
            "made_with": hardware.versions(),
        },
    }


def _saved(planned: Plan, folder: pathlib.Path) -> tuple[Kind | None, Members | None]:
    """What an example was to an earlier run in `folder`, and which there were; None for what is not known.

    Raises:
        UserError: `model.json` is not what the checkpoints were written with.
    """
    if not (folder / "checkpoints").exists():
        return None, None
    checkpoints = _open_checkpoints(planned, folder, read_only=True)
    manifest = checkpoints.newest_manifest()
    checkpoints.close()
    if not manifest:
        return None, None
    if "statistics" in manifest:  # of version 0.1, which had no model.json
        found = manifest["statistics"]
        return found and Table.of_statistics(**found, missing=planned.options["missing"]), None
    model = workdir.read_model(folder)
    if workdir.digest(model) != manifest["model"]:
        raise UserError(
            f"{folder / workdir.MODEL} is not the one that the checkpoints there were written with; put that one back"
        )
    members = model["facts"].get("members")  # not in earlier versions
    return kinds.from_json(model["kind"]), members and workdir.read_members(folder, members)


def _restore_or_init(experiment: Experiment, checkpoints: Checkpoints) -> tuple[int, Any]:
    restored = checkpoints.restore(experiment.abstract, experiment.shardings)
    return (0, experiment.init()) if restored is None else (restored.step, restored.state)


def _say_longer(experiment: Experiment, folder: pathlib.Path, start: int) -> None:
    """Says what becomes of the schedule of a run that goes on to more steps than it was to have."""
    if start and (folder / workdir.MODEL).exists():
        before, now = workdir.read_model(folder)["facts"]["total_steps"], experiment.total_steps
        if now > before:
            rates = ", ".join(
                f"{name} {rate(start):.3g}" for name, rate in experiment.plan.rates(now).items()
            )
            say(
                f"made longer: {now} steps, where {before} were to be; schedules are those of {now} steps from here"
                + (f" ({rates} at step {start})" if rates else "")
            )


def _announce(experiment: Experiment, feed: Feed, start: int) -> None:
    planned, source = experiment.plan, experiment.source
    devices = f"{experiment.mesh.size} {jax.devices()[0].device_kind}"
    if jax.process_count() > 1:
        devices += f" of {jax.process_count()} processes"
    kind = "resident" if feed.shared else "streaming"
    where = f"from step {start}" if start else "from the beginning"
    where = "done already" if start >= experiment.total_steps else where
    say(
        f"{planned.method} on {source.name}: {len(source.train)} training and {len(source.test)} test examples"
    )
    say(f"{kind} feed, {planned.executor} on {devices}; {experiment.total_steps} steps {where}")
    if without := experiments.left_out(experiment):
        say(f"{source.name} has no labels: {', '.join(without)} left out")


class Told:
    """A user's `on_metrics`, and whether it asked for the end."""

    def __init__(self, on_metrics: OnMetrics | None):
        """None: nobody is told."""
        self._on_metrics, self.stop = on_metrics, False

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Tells, on the primary."""
        if self._on_metrics and is_primary():
            self.stop = bool(self._on_metrics(step, dict(metrics))) or self.stop


def _train(experiment, run, feed, folder, checkpoints, start, state, told) -> tuple[int, Any, bool]:
    """Trains to the end, an interruption or convergence; the step and the State there, and whether it converged."""
    planned, mesh = experiment.plan, experiment.mesh
    place = lambda block: place_batch(block, mesh, planned.executor, 1)
    # Under pmap every process has State on its own devices; on disk it is one.
    state = local(state, mesh) if planned.executor == "pmap" else state
    trace = loop.Trace(planned.traced, folder / "profile") if planned.traced and is_primary() else None
    with loop.interruptible() as interrupted:
        run.prepare(state, place(next(iter(feed.blocks(start, experiment.total_steps)))), *feed.shared)
        meter = loop.Meter(planned.train.batch_size, planned.train.log_every)
        with Recorder(experiment, run, folder, checkpoints, start, told) as recorder:
            pause = 0 if planned.judging.film else planned.checkpoint.seconds  # a film misses no frame
            rested = lambda: time.monotonic() - recorder.saved >= pause
            ask = lambda: loop.Asked(interrupted() or told.stop, rested())
            step, state = loop.train(
                run,
                state,
                feed,
                place,
                start=start,
                stop=experiment.total_steps,
                meter=meter,
                on_report=recorder.on_report,
                save_every=planned.checkpoint.every,
                evaluate_every=planned.train.evaluate_every,
                on_pause=recorder.on_pause,
                ask=ask if jax.process_count() == 1 else Votes(mesh, ask),
                trace=trace,
            )
    return step, state, meter.converged


class Recorder:
    """What a run leaves in its folder as it goes; a context that leaves all files whole.

    Attributes:
        saved: when the last checkpoint was begun, on `time.monotonic`.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: loop.Program,
        folder: pathlib.Path,
        checkpoints: Checkpoints,
        start: int,
        told: Told,
    ):
        """Continues the files of `folder` from step `start`."""
        self.saved = time.monotonic()
        self._experiment, self._folder, self._checkpoints = experiment, folder, checkpoints
        self._tell, self._speak = told, is_primary()
        self._writer = workdir.MetricsWriter(folder, start) if self._speak else None
        self._progress = loop.Progress(start, experiment.total_steps) if self._speak else None
        self._rates = experiment.plan.rates(experiment.total_steps)
        self._flops = run.flops / experiment.plan.train.batch_size
        peak = peak_flops(jax.devices()[0], experiment.plan.dtype) if self._speak else None
        self._peak = peak and peak * experiment.mesh.size
        self._latest: dict[str, float] = {}
        self._fault: str | None = None
        self._told: set[str] = set()  # why evaluators give no result
        self._evaluated = start
        self._model = workdir.digest(workdir.read_model(folder))

    def __enter__(self) -> "Recorder":
        return self

    def on_report(self, report: loop.Report) -> None:
        """Writes and shows the means of an interval."""
        self._latest |= report.metrics
        if self._speak:
            share = self._peak and report.examples_per_second * self._flops / self._peak
            speed = {"examples_per_second": report.examples_per_second}
            speed |= {"peak_share": share} if share else {}
            rates = {name: rate(report.step - 1) for name, rate in self._rates.items()}
            self._writer.write(report.step, report.metrics | rates | speed | memory())
            self._progress.show(report, share)
        self._tell(report.step, report.metrics)
        self._warn(report)

    def _warn(self, report: loop.Report) -> None:
        """Says what the method finds wrong with its metrics, once, and when it is over."""
        diagnose = self._experiment.method.diagnose
        fault = diagnose(report.metrics) if diagnose else None
        if fault and not self._fault:
            good = self._checkpoints.protect(report.step - self._experiment.plan.train.log_every)
            kept = "" if good is None else f"; the checkpoint of step {good}, from before that, is kept"
            say(f"step {report.step}: {fault}{kept}", sys.stderr)
        elif self._fault and not fault:
            say(f"step {report.step}: recovered", sys.stderr)
        self._fault = fault

    def on_pause(self, step: int, state: Any) -> None:
        """Evaluates where that is due, and saves; a State that is not finite is refused."""
        planned = self._experiment.plan
        state = everywhere(state, self._experiment.mesh)
        copy = snapshot(state)
        if not copy.finite:
            raise loop.Diverged(f"the parameters are not finite after step {step}")
        every = planned.train.evaluate_every
        if every and step // every > self._evaluated // every:
            self._evaluated = step
            judged = experiments.make_subject(self._experiment, state)
            results, faults = experiments.judge(self._experiment, judged, planned.judging.periodic)
            for fault in set(faults) - self._told:
                say(f"step {step}: no result: {fault}", sys.stderr)
            self._told.update(faults)
            self._latest |= results
            if self._speak:
                self._writer.write(step, results)
            self._tell(step, results)
        if planned.judging.film:
            experiments.draw_frames(self._experiment, state, self._folder, step)
        self.saved = time.monotonic()
        self._checkpoints.save(step, copy, self._manifest(step), self._latest)

    def _manifest(self, step: int) -> dict:
        planned = self._experiment.plan
        position = {"step": step, "examples": step * planned.train.batch_size}
        return {"position": position, "model": self._model, "config": planned.record}

    def __exit__(self, kind, error, traceback) -> None:
        if self._fault:
            say(f"at the end: {self._fault}", sys.stderr)
        if self._speak:
            self._progress.close()
            self._writer.close()
        if isinstance(error, loop.Diverged):
            self._checkpoints.close()
            raise loop.Diverged(f"{error}; {self._advice()}") from None

    def _advice(self) -> str:
        last = max(self._checkpoints.steps(), default=None)
        left = (
            f"the last good checkpoint is that of step {last}" if last else "no checkpoint was saved before"
        )
        mend = (
            "Lower config.optimizer.learning_rate or look"
            if "optimizer" in self._experiment.plan.record
            else "Look"
        )
        return f"{left}. {mend} at the data."


def _finish(
    experiment: Experiment, state: Any, folder: pathlib.Path, metrics: pathlib.Path | None = None
) -> Results:
    """Judges and draws into `folder`; `metrics` lie there too, if not said otherwise."""
    judged = experiments.make_subject(experiment, state)
    results, faults = experiments.judge(experiment, judged, experiment.plan.judging.run)
    if is_primary():
        folder.mkdir(parents=True, exist_ok=True)
        workdir.add_results(folder, results, anew=metrics is None)
        usual = calibration(judged) if metrics is None else None
        if usual is not None:  # what a model's scores are measured by
            arrays.save(folder / CALIBRATION, usual)
        judged = judged._replace(results=dict(results))
        experiments.draw(experiment, judged, folder, metrics or folder / "metrics.jsonl")
        experiments.join_frames(experiment, folder)
    say(summary(results))
    say(f"figures, metrics and checkpoints: {folder}")
    if faults:
        raise UserError(f"{len(faults)} of the evaluators gave no result: " + "\n".join(faults))
    return Results(results)
