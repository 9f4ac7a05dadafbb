"""How near synthetic rows of a table come to real ones, column by column and together."""

import math
from collections.abc import Mapping
from typing import Any

from unsupjax.errors import UserError, nearest
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, host_seed
from unsupjax.evaluate.synthesis.generation import drawn
from unsupjax.evaluate.synthesis.table_report import report


def synthetic_table(subject: Subject, *, target: str = "", n: int = 0) -> dict[str, float]:
    """Measures of samples in the user's units, against the test split: those of `table_report.report`.

    Args:
        subject: what is judged.
        target: a column to predict from the others, by a model of synthetic and by one of real rows; "": none.
        n: samples; 0: as many as there are training examples.

    Returns:
        `column_shapes`, `pair_trends`, `detection_boosting`, `detection_logistic`, with a target `tstr_...` and
        `trtr_...`, `closest_record`, `copies`, `copies_test`; without those that are not defined.

    Raises:
        UserError: the data is no table; the method cannot sample; fewer than 10 rows in a split; no such target.
    """
    if subject.kind is None or subject.kind.name != "table":
        shape = subject.x_test.shape[1:]
        raise require.missing(
            "synthetic_table", f"a table, and one input is {shape}", "choose a table, such as a csv"
        )
    samples = drawn(subject, n or len(subject.x_train), "synthetic_table")
    tables = [subject.kind.as_table(x) for x in (subject.x_train, subject.x_test, samples)]
    try:
        found = report(*tables, target=target or None, seed=host_seed(subject.key))
    except UserError as error:
        raise UserError(f"config.evaluate.synthetic_table: {error}") from error
    return {name: value for name, value in found.items() if not math.isnan(value)}


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, a target that is none of the columns."""
    target = arguments["target"]
    if target and target not in facts.kind.names:
        raise UserError(
            f"config.evaluate.synthetic_table.target={target!r} is no column; {nearest(target, facts.kind.names)}"
        )
