"""A GAN for tables of mixed types: `fit` a table, then `sample` rows like its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.tables import calibrate, conditions, latent, networks, training, transform, view
from unsupjax.tables.schema import Table, parse
from unsupjax.tables.training import Settings

_BLOCK = 250  # steps in a compiled loop: what stands between two looks at the loss
_ROWS = 2048  # sampled at once
_TRIES = 20  # rows drawn for each that must have a value


class Diverged(RuntimeError):
    """A loss that is not finite."""


class TableGAN(NamedTuple):
    """A fitted generator: what `sample` needs, and nothing of the table but its columns' values.

    Attributes:
        transform: between rows and vectors.
        latent: the copula that the latents come from.
        conditions: with counts of the categories, and no rows.
        params, stats: of the generator.
        calibration: of the continuous columns.
        settings: hyperparameters.
    """

    transform: transform.Transform
    latent: latent.Latent
    conditions: conditions.Conditions
    params: Any
    stats: Any
    calibration: calibrate.Calibration
    settings: Settings


def fit(
    key: jax.Array,
    table: Table,
    *,
    steps: int = 3000,
    modes: int = transform.MODES,
    copula: bool = True,
    calibrated: bool = True,
    log: Callable[[int, dict[str, float]], None] | None = None,
    **settings,
) -> TableGAN:
    r"""Trains a GAN on a table: it starts as the table's Gaussian copula and learns what that lacks.

    Continuous numbers are encoded by their modes and categories one-hot (`transform.fit`). The generator's latents are
    correlated normal scores whose quantiles are a row (`latent`); its networks add to that row's scalars and logits. A
    batch asks for categories by log-frequency and meets real rows that have them (`conditions.draw`); a cross-entropy
    holds the generator to them. The critic sees packs of vectors, of their numbers and of the numbers' principal
    components (`view.see`). Trained by R3GAN's loss (relativistic pairing with R1 and R2), which settles where the
    start is near the end already, or by WGAN-GP as CTGAN is; a penalty's event is a pack.

    Args:
        key: a typed random key; the same key and table give the same model.
        table: rows to learn from.
        steps: updates of the generator.
        modes: the most that a column is divided into, beside atoms and missing.
        copula: start from the copula; without it latents are independent, as CTGAN's are.
        calibrated: give every continuous column its quantiles in the table as the last step of sampling.
        log: called with the number of steps done and the means of the metrics since the last call.
        **settings: fields of `Settings`.

    Raises:
        UserError: `transform.fit` refuses the table; settings that do not fit each other.
        Diverged: a loss is not finite.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019; Huang et al., "The GAN is dead;
    long live the GAN!", NeurIPS 2024.
    """
    chosen = _check(Settings(steps=steps, **settings))
    seed = int(jax.random.bits(key)) % 2**31
    found = transform.fit(table, modes=modes, seed=seed)
    layout, data = prepare(found, table, copula=copula, seed=seed)
    for_init, for_steps, for_settling, for_calibration = jax.random.split(key, 4)
    state = training.init(layout, chosen, for_init, data)
    while state.step < steps:
        at, n = int(state.step), min(_BLOCK, steps - int(state.step))
        state, metrics = training.train(layout, chosen, for_steps, data, state, n)
        _report(at, np.asarray(metrics), log)
    params = state.ema if chosen.ema else state.generator
    stats = training.settle(layout, chosen, for_settling, data, params, state.stats)
    counts = data.conditions._replace(rows=jnp.zeros((len(found.discrete), 0), jnp.int32))
    fitted = TableGAN(found, data.latent, counts, params, stats, calibrate.NONE, chosen)
    if not calibrated:
        return fitted
    return fitted._replace(calibration=calibrate.fit(found, sample(fitted, for_calibration, 10_000), table))


def prepare(found: transform.Transform, table: Table, *, copula: bool = True, seed: int = 0):
    """The layout of the vectors, and what training reads."""
    layout = networks.layout(found)
    vectors = transform.encode(found, table, seed=seed)
    codes = [transform.codes(found, part, table) for part in found.discrete]
    codes = np.stack([np.zeros(table.rows, np.int64), *codes], axis=1)[:, 1:]
    return layout, training.Data(
        jnp.asarray(vectors),
        conditions.conditions(codes, layout.categories),
        latent.fit(found, table, copula=copula, seed=seed),
        view.fit(found, layout, vectors),
    )


def sample(fitted: TableGAN, key: jax.Array, n: int, where: tuple[str, Any] | None = None) -> Table:
    """n rows.

    Args:
        fitted: by `fit`.
        key: a typed random key.
        n: how many.
        where: a discrete column and the value that all rows are to have in it. The generator is asked for it, and rows
            with another value are drawn again; once 20 rows for each wanted one were drawn, the value is set in them.

    Raises:
        UserError: `where` names no column, one that is not discrete, or a value that the column does not have; n
            is below 1.
    """
    if n < 1:
        raise UserError(f"{n} rows are none to sample; ask for at least 1")
    wanted = None if where is None else _wanted(fitted.transform, *where)
    kept, rows, tries = [], 0, 0
    while rows < n:
        block = _block(fitted, jax.random.fold_in(key, tries), wanted)
        tries += 1
        if wanted is not None:
            last = tries * _ROWS >= _TRIES * (n + _ROWS)
            block = _having(block, wanted, last)
        kept.append(block)
        rows += block.rows
    values = (np.concatenate(parts)[:n] for parts in zip(*(t.values for t in kept), strict=True))
    return Table(fitted.transform.columns, tuple(values))


class _Wanted(NamedTuple):
    """A column's index, its value, and the value's position among all categories (-1: a constant)."""

    column: int
    value: Any
    category: int


def _wanted(found: transform.Transform, name: str, value: Any) -> _Wanted:
    names = [c.name for c in found.columns]
    index = Table(found.columns, ()).find(name)
    value = parse(found.columns[index], value) if isinstance(value, str) else value
    choices = dict([(i, v) for i, v in found.constants] + [(d.column, d.categories) for d in found.discrete])
    if index not in choices:
        there = [n for i, n in enumerate(names) if i in choices]
        raise UserError(f"{name!r} is continuous; rows can be asked for by discrete columns: {there}")
    hit = np.flatnonzero(transform.same(choices[index], value))
    if not len(hit):
        listed = ", ".join(repr(v) for v in choices[index][:10].tolist())
        raise UserError(f"column {name!r} has no value {value!r}; it has {listed}")
    before = 0
    for part in found.discrete:
        if part.column == index:
            return _Wanted(index, choices[index][hit[0]], before + int(hit[0]))
        before += len(part.categories)
    return _Wanted(index, choices[index][0], -1)


def _block(fitted: TableGAN, key: jax.Array, wanted: _Wanted | None) -> Table:
    asked = None if wanted is None or wanted.category < 0 else jnp.full(_ROWS, wanted.category, jnp.int32)
    vectors = training.sample(
        networks.layout(fitted.transform),
        fitted.settings,
        key,
        (fitted.params, fitted.stats, fitted.latent, fitted.conditions),
        asked,
        _ROWS,
    )
    table = transform.decode(fitted.transform, np.asarray(vectors))
    return calibrate.apply(fitted.calibration, fitted.transform, table)


def _having(block: Table, wanted: _Wanted, force: bool) -> Table:
    """The rows with the value; where the generator will not give it, all of them with the value set."""
    if force:
        values = list(block.values)
        values[wanted.column] = np.repeat(np.array([wanted.value]), block.rows)
        return block._replace(values=tuple(values))
    return block.take(np.flatnonzero(transform.same(block.values[wanted.column], wanted.value)))


def _check(settings: Settings) -> Settings:
    if settings.steps < 1:
        raise UserError(f"steps={settings.steps} must be at least 1")
    if settings.batch_size % settings.pack:
        raise UserError(f"batch_size={settings.batch_size} must be a multiple of pack={settings.pack}")
    if settings.loss not in training.PENALTY:
        raise UserError(f"loss={settings.loss!r}: choices are {sorted(training.PENALTY)}")
    if not 0 <= settings.ema < 1:
        raise UserError(f"ema={settings.ema} must be in [0, 1)")
    features = {name: tuple(getattr(settings, name)) for name in ("generator_features", "critic_features")}
    return settings._replace(**features)  # hashable, as a static argument must be


def _report(before: int, metrics: np.ndarray, log: Callable | None) -> None:
    """Refuses to go on from metrics `[steps, ...]` that are not finite."""
    bad = np.flatnonzero(~np.isfinite(metrics).all(axis=1))
    if len(bad):
        raise Diverged(
            f"the loss is not finite at step {before + bad[0] + 1}; lower learning_rate, or raise penalty or batch_size"
        )
    if log is not None:
        log(before + len(metrics), dict(zip(training.METRICS, metrics.mean(axis=0).tolist(), strict=True)))
