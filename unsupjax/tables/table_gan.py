"""A GAN for tables of mixed types: `fit` a table, then `sample` rows like its own. A face of `methods.table_gan`."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unsupjax import methods
from unsupjax.data import feeds, kinds
from unsupjax.data.columns import Column, Table, parse, same
from unsupjax.data.kinds.modes import MODES
from unsupjax.data.kinds.table import fit as fit_kind
from unsupjax.errors import UserError
from unsupjax.methods import Method
from unsupjax.methods.parts import tabular
from unsupjax.parallel.mesh import make_mesh, place_batch
from unsupjax.run import loop

_BLOCK = 250  # steps in a compiled loop: what stands between two looks at the loss
_ROWS = 2048  # sampled at once
_TRIES = 20  # rows drawn for each that must have a value
_METRICS = {"critic_loss": "loss"} | {m: m for m in ("critic_gap", "generator_loss", "condition_loss")}
SAMPLER = ("average", "average_stats", "quantiles", "facts")  # what of State makes samples


class Settings(NamedTuple):
    """Hyperparameters.

    CTGAN's are loss="wasserstein", pack=10, batch_size=500, dropout=0.5, learning_rate=2e-4 and ema=0, and of `fit`
    copula=False and calibrated=False.

    Attributes:
        steps: updates of the generator, over which the learning rate falls to 0.
        generator_features, critic_features: widths of the hidden layers.
        noise_dim: normal numbers that the generator is given beside the latents.
        batch_size: rows in an update, a multiple of `pack`.
        pack: rows that the critic judges together, which shows it whether they differ.
        dropout: in the critic.
        loss: "relativistic" or "wasserstein".
        penalty: weight of R1 and R2, or of WGAN-GP's penalty; None for 0.1 and for 10.
        critic_steps: updates of the critic before each of the generator.
        learning_rate, weight_decay: of both networks.
        ema: decay of the average of the generator's parameters that samples are drawn with; 0 for the last ones.
    """

    steps: int = 3000
    generator_features: tuple[int, ...] = (256, 256)
    critic_features: tuple[int, ...] = (256, 256)
    noise_dim: int = 32
    batch_size: int = 250
    pack: int = 1
    dropout: float = 0.25
    loss: str = "relativistic"
    penalty: float | None = None
    critic_steps: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    ema: float = 0.999


class TableGAN(NamedTuple):
    """A fitted generator: what `sample` needs, and nothing of the table but its columns' values.

    Attributes:
        columns: the table's schema.
        kind: between rows and vectors.
        model: `SAMPLER`, fields of the method's State.
        settings: hyperparameters.
    """

    columns: tuple[Column, ...]
    kind: kinds.Table
    model: dict[str, Any]
    settings: Settings


def fit(
    key: jax.Array,
    table: Table,
    *,
    steps: int = 3000,
    modes: int = MODES,
    copula: bool = True,
    calibrated: bool = True,
    log: Callable[[int, dict[str, float]], None] | None = None,
    **settings,
) -> TableGAN:
    """Trains `unsupjax.methods.table_gan` on a table, on one device.

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
        UserError: all columns are constant; a discrete column has more than 1,000 categories; settings that do not fit
            each other.
        Diverged: a loss is not finite.
    """
    chosen = Settings(steps=steps, **settings)
    features = {name: tuple(getattr(chosen, name)) for name in ("generator_features", "critic_features")}
    chosen = chosen._replace(**features)  # hashable, as a static argument must be
    if steps < 1:
        raise UserError(f"steps={steps} must be at least 1")
    if chosen.batch_size % chosen.pack:
        raise UserError(f"batch_size={chosen.batch_size} must be a multiple of pack={chosen.pack}")
    rows = table.structured()
    kind = fit_kind(rows, table.columns, missing=True, numbers="modes", modes=modes)
    stored = kind.prepare(rows)
    method = _method(kind, chosen, rows=stored, copula=copula, calibrated=calibrated)
    seed = int(jax.random.bits(key)) % 2**31
    state = _train(method, jax.jit(method.init)(key, stored[:1]), stored, seed, chosen, log)
    state = jax.jit(method.finish)(state)
    return TableGAN(table.columns, kind, {name: getattr(state, name) for name in SAMPLER}, chosen)


def _method(kind: kinds.Table, settings: Settings, **more) -> Method:
    names = ("generator_features", "critic_features", "noise_dim", "pack", "dropout", "loss", "ema")
    arguments = {name: getattr(settings, name) for name in names}
    weight = -1.0 if settings.penalty is None else settings.penalty
    networks = _optimizer(settings, 1), _optimizer(settings, settings.critic_steps)
    try:
        return methods.table_gan(
            *networks, kind=kind, penalty_weight=weight, n_critic=settings.critic_steps, **arguments, **more
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def _optimizer(settings: Settings, each: int) -> optax.GradientTransformation:
    """Adam(0.5, 0.9) with a little weight decay in the gradient, as CTGAN's, of `each` updates a step.

    Its rate falls linearly to 0.
    """
    rate = optax.linear_schedule(settings.learning_rate, 0.0, settings.steps * each)
    return optax.chain(optax.add_decayed_weights(settings.weight_decay), optax.adam(rate, b1=0.5, b2=0.9))


def _train(method: Method, state: Any, stored: np.ndarray, seed: int, settings: Settings, log) -> Any:
    mesh, spans = make_mesh(jax.devices()[:1]), method.wants.asks
    batch_size, chosen = settings.batch_size * (settings.critic_steps + 1), None
    if spans:
        chosen = feeds.by_category(*feeds.categories_of(stored, spans), batch_size, seed)
    feed = feeds.resident(jnp.asarray(stored), batch_size, seed, _BLOCK, chosen=chosen)
    told = lambda report: log and log(report.step, {k: report.metrics[m] for k, m in _METRICS.items()})
    _, state = loop.train(
        loop.compile_block(method, feed, mesh, "jit", lambda rows: rows),
        state,
        feed,
        lambda block: place_batch(block, mesh, "jit", 1),
        start=0,
        stop=settings.steps,
        meter=loop.Meter(batch_size, _BLOCK),
        on_report=told,
        save_every=0,
        evaluate_every=0,
        on_pause=lambda step, state: None,
        ask=lambda: loop.Asked(False, False),
    )
    return state


def blank(kind: kinds.Table, settings: Settings) -> Any:
    """The State of an untrained model, as shapes."""
    return jax.eval_shape(_method(kind, settings).init, jax.random.key(0), jnp.zeros((1, *kind.shape)))


@functools.lru_cache(maxsize=8)
def _sampler(kind: kinds.Table, settings: Settings) -> Callable:
    """`(model, key, n, asked) -> rows`, compiled."""
    method, state = _method(kind, settings), blank(kind, settings)
    return jax.jit(
        lambda model, key, n, asked: method.sample(state._replace(**model), key, n, asked), static_argnums=2
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
    wanted = None if where is None else _wanted(fitted, *where)
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
    return Table(fitted.columns, tuple(values))


class _Wanted(NamedTuple):
    """A column's index, its value, and the value's position among all categories (-1: a constant)."""

    column: int
    value: Any
    category: int


def _wanted(fitted: TableGAN, name: str, value: Any) -> _Wanted:
    index = Table(fitted.columns, ()).find(name)
    value = parse(fitted.columns[index], value) if isinstance(value, str) else value
    layout, choices = tabular.layout(fitted.kind), {}
    for i, column in enumerate(fitted.kind.columns):
        if i not in layout.numbers:  # a category, or a number that is the same in all rows
            choices[i] = column.array() if column.type == "category" else np.array(column.mean, float)
    if index not in choices:
        there = [fitted.columns[i].name for i in choices]
        raise UserError(f"{name!r} is continuous; rows can be asked for by discrete columns: {there}")
    hit = np.flatnonzero(same(choices[index], value))
    if not len(hit):
        listed = ", ".join(repr(v) for v in choices[index][:10].tolist())
        raise UserError(f"column {name!r} has no value {value!r}; it has {listed}")
    category = -1
    if index in layout.categories:
        before = layout.sizes[: layout.categories.index(index)]
        category = sum(before) + int(hit[0])
    return _Wanted(index, choices[index][hit[0]], category)


def _block(fitted: TableGAN, key: jax.Array, wanted: _Wanted | None) -> Table:
    asked = None if wanted is None or wanted.category < 0 else jnp.full(_ROWS, wanted.category, jnp.int32)
    rows = _sampler(fitted.kind, fitted.settings)(fitted.model, key, _ROWS, asked)
    return Table(fitted.columns, tuple(fitted.kind.values(np.asarray(rows))))


def _having(block: Table, wanted: _Wanted, force: bool) -> Table:
    """The rows with the value; where the generator will not give it, all of them with the value set."""
    if force:
        values = list(block.values)
        values[wanted.column] = np.repeat(np.array([wanted.value]), block.rows)
        return block._replace(values=tuple(values))
    return block.take(np.flatnonzero(same(block.values[wanted.column], wanted.value)))
