"""Kinds: what one example is, and how what a user has becomes the array that a method sees.

A kind is a NamedTuple of plain values, fitted once on the training split, that goes with a model as JSON:

    prepare(raw) -> stored [N, ...]     on the host: whatever a user has, as it is stored and fed
    see(stored) -> seen                 pure and cheap, inside the compiled step; what is seen already stays as it is
    restore(seen) -> raw                in the user's units
    example() -> jax.ShapeDtypeStruct   of one seen example
    to_json() -> dict                   `from_json` is the inverse
"""

from collections.abc import Mapping
from typing import Any

from unsupjax.data.kinds.arrays import Arrays as Arrays
from unsupjax.data.kinds.baskets import Baskets as Baskets
from unsupjax.data.kinds.images import Images as Images
from unsupjax.data.kinds.modes import Modes as Modes
from unsupjax.data.kinds.table import Table as Table
from unsupjax.data.kinds.tokens import Tokens as Tokens
from unsupjax.data.kinds.windows import Windows as Windows
from unsupjax.errors import UserError

KINDS = {
    "arrays": Arrays,
    "baskets": Baskets,
    "images": Images,
    "table": Table,
    "tokens": Tokens,
    "windows": Windows,
}
Kind = Arrays | Baskets | Images | Table | Tokens | Windows


def from_json(content: Mapping[str, Any]) -> Kind:
    """The kind that `to_json` wrote.

    Raises:
        UserError: no such kind, or fields that are not its own.
    """
    try:
        fields = dict(content)
        return KINDS[fields.pop("kind")].from_json(fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"no kind of data of this version: {str(content)[:80]} ({error})") from error
