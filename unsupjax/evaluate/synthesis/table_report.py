"""How close synthetic rows come to real ones, what they are good for, and how near they lie to the rows learnt from."""

import numpy as np

from unsupjax.data.columns import Table, names_rows
from unsupjax.errors import UserError
from unsupjax.evaluate.synthesis.table_trends import column_shapes, pair_trends
from unsupjax.generation import c2st

_MOST_CATEGORIES = 50  # that models of a table tell apart in a column; the rarest are one
_MOST_ROWS = 10_000  # of each table, for what takes long
_FEWEST_ROWS = 10
_FOLDS = 5


def report(
    real_train: Table, real_test: Table, synthetic: Table, *, target: str | None = None, seed: int = 0
) -> dict[str, float]:
    """Measures of synthetic rows, made by a model of `real_train`, against real rows that it did not see.

    - `column_shapes`, `pair_trends`: see the functions; 1 is best.
    - `detection_boosting`, `detection_logistic`: area under the ROC curve of a classifier, gradient boosting or
      logistic regression, that tells synthetic from test rows, cross-validated; 0.5 is best.
    - `tstr_...`, `trtr_...`: gradient boosting predicts `target` in test rows, trained on synthetic or on real ones:
      `accuracy` and `f1` (mean over classes) of a discrete target, `r2` of a continuous one.
    - `closest_record`: median distance of synthetic rows to the closest training row, over the same of test rows: about
      1 for a good model, 0 for copies; NaN where test rows are training rows. Numbers count in standard deviations, a
      different category 1.
    - `copies`, `copies_test`: the parts of synthetic and of test rows that are rows of the training table.

    Of each table at most 10,000 rows count, drawn at random, but for shapes, trends and copies.

    Args:
        real_train: what the model was fitted on.
        real_test: other rows of the same source.
        synthetic: generated rows.
        target: a column to predict from the others; None leaves these measures out.
        seed: of folds, classifiers and draws.

    Raises:
        UserError: tables of different columns; fewer than 10 rows in one; no such target, or no column beside it.

    Source: Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019; Patki, Wedge and Veeramachaneni,
    "The synthetic data vault", DSAA 2016; Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
    """
    check(real_train, real_test, synthetic)
    whole = real_train, real_test, synthetic
    found = {
        "column_shapes": column_shapes(real_test, synthetic),
        "pair_trends": pair_trends(real_test, synthetic),
    }
    train, test, new = few = [_sample(t, seed) for t in whole]
    vectors = _vectors(few)
    for name in ("boosting", "logistic"):
        found[f"detection_{name}"] = c2st(*vectors[1:], classifier=name, folds=_FOLDS, seed=seed).auc
    if target is not None:
        for name, table in (("tstr", new), ("trtr", train)):
            measured = utility(table, test, target, seed=seed)
            found |= {f"{name}_{key}": value for key, value in measured.items()}
    found["closest_record"] = _closest(*vectors)
    found["copies"], found["copies_test"] = copies(synthetic, real_train), copies(real_test, real_train)
    return found


def utility(train: Table, test: Table, target: str, *, seed: int = 0) -> dict[str, float]:
    """How well gradient boosting on `train` predicts `target` in `test`: `accuracy` and `f1`, or `r2`."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import accuracy_score, f1_score, r2_score

    j = train.find(target)
    if len(train.columns) < 2:
        raise UserError(f"{target!r} is the only column; nothing is left to predict it from")
    x, x_test = _vectors([_without(t, j) for t in (train, test)])
    y, y_test = train.values[j], test.values[j]
    if not train.columns[j].discrete:
        seen, seen_test = ~np.isnan(y), ~np.isnan(y_test)
        if not seen.any() or not seen_test.any():
            return {"r2": float("nan")}
        model = HistGradientBoostingRegressor(early_stopping=False, random_state=seed).fit(x[seen], y[seen])
        return {"r2": float(r2_score(y_test[seen_test], model.predict(x_test[seen_test])))}
    _, codes = np.unique(np.concatenate([y, y_test]), return_inverse=True)
    y, y_test = codes[: len(y)], codes[len(y) :]
    guess = np.full(len(y_test), y[0])
    if (y != y[0]).any():
        model = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        guess = model.fit(x, y).predict(x_test)
    f1 = f1_score(y_test, guess, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(y_test, guess)), "f1": float(f1)}


def copies(table: Table, train: Table) -> float:
    """The part of the rows that equal a row of `train` in every column; missing equals missing.

    Columns of `train` that only name its rows do not count: by them, a copy with a new number would be none.
    """
    pairs = list(zip(train.columns, table.values, train.values, strict=True))
    telling = [pair for pair in pairs if not names_rows(pair[0], pair[2])] or pairs
    codes = []
    for _, a, b in telling:
        codes.append(np.unique(np.concatenate([a, b]), return_inverse=True)[1])
    rows = [row.tobytes() for row in np.ascontiguousarray(np.stack(codes, axis=1))]
    known = set(rows[table.rows :])
    return float(np.mean([row in known for row in rows[: table.rows]]))


def _vectors(tables: list[Table]) -> list[np.ndarray]:
    """Rows of each table as numbers `[N, D]`, in units of the first.

    A number is standardised, and 0 beside an indicator where it is missing; a category is one-hot, of length
    :math:`1 / sqrt(2)`, the rarest together.
    """
    ends = np.cumsum([t.rows for t in tables])[:-1]
    parts = []
    for j, column in enumerate(tables[0].columns):
        values, n = np.concatenate([t.values[j] for t in tables]), tables[0].rows
        parts.extend((_one_hot if column.discrete else _standardised)(values, n))
    return np.split(np.stack(parts, axis=1).astype(np.float64), ends)


def _one_hot(values: np.ndarray, n: int):
    categories, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    own = np.bincount(codes[:n], minlength=len(categories))
    rank = np.argsort(np.lexsort((-counts, -own)))[codes].clip(max=_MOST_CATEGORIES - 1)
    return np.eye(rank.max() + 1)[rank].T / np.sqrt(2)


def _standardised(values: np.ndarray, n: int):
    missing = np.isnan(values)
    known = values[:n][~missing[:n]]
    centre, spread = (known.mean(), known.std()) if len(known) else (0.0, 1.0)
    x = np.where(missing, 0, (values - centre) / (spread or 1.0))
    return [x, missing] if missing.any() else [x]


def _closest(train: np.ndarray, test: np.ndarray, synthetic: np.ndarray) -> float:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=1).fit(train)
    new, held_out = (np.median(index.kneighbors(x)[0]) for x in (synthetic, test))
    return float(new / held_out) if held_out > 0 else float("nan")


def _sample(table: Table, seed: int) -> Table:
    if table.rows <= _MOST_ROWS:
        return table
    return table.take(np.random.default_rng(seed).choice(table.rows, _MOST_ROWS, replace=False))


def _without(table: Table, j: int) -> Table:
    return Table(*(parts[:j] + parts[j + 1 :] for parts in table))


def check(train: Table, *others: Table) -> None:
    """UserError where test and synthetic rows have other columns than the training table, or one has too few rows."""
    kinds = [(c.name, c.numeric) for c in train.columns]
    for name, table in zip(("test", "synthetic"), others, strict=True):
        if [(c.name, c.numeric) for c in table.columns] != kinds:
            raise UserError(
                f"the {name} table has columns {list(table.names)} and the training table {list(train.names)}; a "
                f"report needs the same names and types, in the same order"
            )
    for name, table in zip(("training", "test", "synthetic"), (train, *others), strict=True):
        if table.rows < _FEWEST_ROWS:
            raise UserError(f"the {name} table has {table.rows} rows; a report needs at least {_FEWEST_ROWS}")
