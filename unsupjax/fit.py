"""Runs an experiment in a folder: trains or resumes, evaluates, draws."""

import pathlib
import sys
from typing import Any

import jax
import ml_collections

from unsupjax import config as configs
from unsupjax import experiment as experiments
from unsupjax import loop, workdir
from unsupjax.checkpoint import Checkpoints, snapshot
from unsupjax.errors import UserError
from unsupjax.evaluate import summary
from unsupjax.experiment import Experiment
from unsupjax.parallel import place_batch, replicated


def fit(config: ml_collections.ConfigDict, folder: str | pathlib.Path) -> dict[str, float]:
    """Trains what `config` describes, from the newest checkpoint in `folder` if it has one, and evaluates it.

    The folder gets `config.json`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`, and at the end
    `evaluation.json` and `figures/`. The same call resumes an interrupted run and gives, bit for bit, the
    parameters of an undisturbed one.

    Args:
        config: as `unsupjax.config.experiment` makes it.
        folder: the run's folder; made if need be.

    Returns:
        the results of the evaluators by name; empty where SIGTERM or SIGINT ended the run before its last step.

    Raises:
        UserError: bad input; nothing was written.
        loop.Diverged: the loss or the parameters are not finite; the last good checkpoint is left.
    """
    folder = pathlib.Path(folder)
    workdir.check_writable(folder)
    workdir.check_config(folder, config)
    experiment = experiments.prepare(config, _saved_statistics(config, folder))
    feed = experiments.make_feed(experiment)
    run = experiments.compile_run(experiment, feed)
    workdir.write_config(folder, config)
    checkpoints = _open_checkpoints(config, folder)
    start, state = _restore_or_init(experiment, checkpoints)
    _announce(experiment, feed, start)
    meter = loop.Meter(config.train.batch_size, config.train.log_every)
    step, state = _train(experiment, run, feed, folder, checkpoints, start, state, meter)
    if meter.converged:
        print(f"converged: nothing changes after step {step} of at most {experiment.total_steps}")
    elif step < experiment.total_steps:
        print(f"stopped at step {step} of {experiment.total_steps}, saved; run the same command to go on")
        return {}
    return _finish(experiment, state, folder)


def evaluate(folder: str | pathlib.Path) -> dict[str, float]:
    """Evaluates and draws the newest checkpoint of `folder`, as the config that lies there says.

    Raises:
        UserError: no run in the folder, or no whole checkpoint.
    """
    folder = pathlib.Path(folder)
    return _finish(*load(folder), folder)


def load(folder: str | pathlib.Path) -> tuple[Experiment, Any]:
    """The experiment of a run and the State of its newest checkpoint, for `experiment.method`'s functions.

    Raises:
        UserError: no run in the folder, or no whole checkpoint.
    """
    folder = pathlib.Path(folder)
    # A run of an earlier version may lack fields that there are now: they have their defaults.
    config = configs.experiment(**workdir.read_config(folder).to_dict())
    experiment = experiments.prepare(config, _saved_statistics(config, folder))
    checkpoints = _open_checkpoints(config, folder)
    restored = checkpoints.restore(experiment.abstract, replicated(experiment.mesh))
    checkpoints.close()
    if restored is None:
        raise UserError(f"--workdir={folder} has no whole checkpoint; train it first")
    return experiment, restored.state


def _open_checkpoints(config: ml_collections.ConfigDict, folder: pathlib.Path) -> Checkpoints:
    section = config.checkpoint
    return Checkpoints(folder / "checkpoints", section.keep, section.best_metric, section.best_mode)


def _saved_statistics(config: ml_collections.ConfigDict, folder: pathlib.Path) -> dict | None:
    """What an earlier run in `folder` standardised its tables with."""
    if not (folder / "checkpoints").exists():
        return None
    checkpoints = _open_checkpoints(config, folder)
    manifest = checkpoints.newest_manifest()
    checkpoints.close()
    return manifest and manifest["statistics"]


def _restore_or_init(experiment: Experiment, checkpoints: Checkpoints) -> tuple[int, Any]:
    restored = checkpoints.restore(experiment.abstract, replicated(experiment.mesh))
    return (0, experiment.init()) if restored is None else (restored.step, restored.state)


def _announce(experiment: Experiment, feed, start: int) -> None:
    config, source = experiment.config, experiment.source
    devices = f"{experiment.mesh.size} {jax.devices()[0].device_kind}"
    kind = "resident" if feed.shared else "streaming"
    where = f"from step {start}" if start else "from the beginning"
    where = "done already" if start >= experiment.total_steps else where
    print(
        f"{config.method.name} on {source.name}: {len(source.train)} training and {len(source.test)} test examples"
    )
    print(f"{kind} feed, {config.parallel} on {devices}; {experiment.total_steps} steps {where}", flush=True)
    if without := experiments.left_out(config, source):
        print(f"{source.name} has no labels: {', '.join(without)} left out", flush=True)


def _train(experiment, run, feed, folder, checkpoints, start, state, meter) -> tuple[int, Any]:
    config, total = experiment.config, experiment.total_steps
    if start >= total:
        checkpoints.close()
        return start, state
    every = tuple(n for n in (config.checkpoint.every, config.train.evaluate_every) if n)
    recorder = Recorder(experiment, folder, checkpoints, start)
    try:
        with loop.interruptible() as interrupted:
            return loop.train(
                run,
                state,
                feed,
                lambda block: place_batch(block, experiment.mesh, config.parallel, 1),
                start=start,
                stop=total,
                meter=meter,
                on_report=recorder.on_report,
                pause_every=every,
                on_pause=recorder.on_pause,
                interrupted=interrupted,
            )
    except loop.Diverged as error:
        last = max(checkpoints.steps(), default=None)
        left = (
            "no checkpoint was saved before"
            if last is None
            else f"the last good checkpoint is that of step {last}"
        )
        mend = "Lower config.optimizer.learning_rate or look" if "optimizer" in config else "Look"
        raise loop.Diverged(f"{error}; {left}. {mend} at the data.") from None
    finally:
        recorder.close()


class Recorder:
    """What a run leaves in its folder as it goes."""

    def __init__(self, experiment: Experiment, folder: pathlib.Path, checkpoints: Checkpoints, start: int):
        """Continues the files of `folder` from step `start`."""
        self._experiment, self._folder, self._checkpoints = experiment, folder, checkpoints
        self._writer = workdir.MetricsWriter(folder, start)
        self._progress = loop.Progress(start, experiment.total_steps)
        self._latest: dict[str, float] = {}
        self._fault: str | None = None
        self._evaluated = start

    def on_report(self, report: loop.Report) -> None:
        """Writes and shows the means of an interval."""
        self._latest |= report.metrics
        self._writer.write(report.step, report.metrics | {"examples_per_second": report.examples_per_second})
        self._progress.show(report)
        self._warn(report)

    def _warn(self, report: loop.Report) -> None:
        """Says what the method finds wrong with its metrics, once, and when it is over."""
        diagnose = self._experiment.method.diagnose
        fault = diagnose(report.metrics) if diagnose else None
        if fault and not self._fault:
            good = self._checkpoints.protect(report.step - self._experiment.config.train.log_every)
            kept = "" if good is None else f"; the checkpoint of step {good}, from before that, is kept"
            print(f"step {report.step}: {fault}{kept}", file=sys.stderr, flush=True)
        elif self._fault and not fault:
            print(f"step {report.step}: recovered", file=sys.stderr, flush=True)
        self._fault = fault

    def on_pause(self, step: int, state: Any) -> None:
        """Evaluates where that is due, and saves; a State that is not finite is refused."""
        config = self._experiment.config
        copy = snapshot(state)
        if not copy.finite:
            raise loop.Diverged(f"the parameters are not finite after step {step}")
        every = config.train.evaluate_every
        if every and step // every > self._evaluated // every:
            self._evaluated = step
            judged = experiments.make_subject(self._experiment, state)
            names = config.evaluate.periodic or config.evaluate.run
            results = experiments.judge(self._experiment, judged, names)
            self._latest |= results
            self._writer.write(step, results)
        if config.evaluate.film:
            experiments.draw_frames(self._experiment, state, self._folder, step)
        self._checkpoints.save(step, copy, self._manifest(step), self._latest)

    def _manifest(self, step: int) -> dict:
        config, source = self._experiment.config, self._experiment.source
        position = {"step": step, "examples": step * config.train.batch_size}
        return {"position": position, "statistics": source.statistics, "config": workdir.as_json(config)}

    def close(self) -> None:
        """Leaves all files whole."""
        if self._fault:
            print(f"at the end: {self._fault}", file=sys.stderr, flush=True)
        self._progress.close()
        self._writer.close()
        self._checkpoints.close()


def _finish(experiment: Experiment, state: Any, folder: pathlib.Path) -> dict[str, float]:
    judged = experiments.make_subject(experiment, state)
    results = experiments.judge(experiment, judged, experiment.config.evaluate.run)
    workdir.write_json(folder / "evaluation.json", results)
    experiments.draw(experiment, judged, folder)
    experiments.join_frames(experiment, folder)
    print(summary(results))
    print(f"figures, metrics and checkpoints: {folder}", flush=True)
    return results
