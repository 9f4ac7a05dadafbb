"""Unreadable images: skipped, named, counted, and refused where they are too many."""

import dataclasses
import logging
import threading

from unsupjax.data.pictures import UnreadableImage
from unsupjax.errors import UserError

NAMED = 10  # images that the log names
SHOWN = 3  # images that a refusal names

logger = logging.getLogger(__name__)
_lock = threading.Lock()  # one for all: a split that had its own could not be pickled


@dataclasses.dataclass(eq=False)
class Skipped:
    """The unreadable images of one split as it is stored; shared by all that is selected of it.

    Attributes:
        where: names the split in messages.
        total: how many images it has, with the unreadable ones.
        fraction: the greatest part of them that may be unreadable.
        prefix: leads the name of an image, where images have none of their own; `{}` is its record.
        setting: by which more are allowed.
        names: what was skipped so far, by record: names and reasons.
    """

    where: str
    total: int
    fraction: float
    prefix: str = ""
    setting: str = "config.data.unreadable"
    names: dict[int | str, str] = dataclasses.field(default_factory=dict)

    def add(self, record: int | str, error: UnreadableImage) -> None:
        """Counts an image once, however often it is asked for, and names it in the log.

        Args:
            record: which it is.
            error: why it is unreadable.

        Raises:
            UserError: it is one too many.
        """
        if self.fraction == 0:
            raise error
        with _lock:
            if record in self.names:
                return
            name = self.prefix.format(record) + "{} ({})".format(*error.args)
            count = len(self.names) + 1
            # The one that is refused is not noted: asked for again, it is refused again.
            if count / self.total > self.fraction:
                raise UserError(self._refusal(count, [*self.names.values(), name])) from error
            self.names[record] = name
        if count <= NAMED:
            logger.warning("%s: %s is unreadable and skipped, %d of %d", self.where, name, count, self.total)
        if count == NAMED:
            logger.warning("%s: further unreadable images are only counted", self.where)

    def _refusal(self, count: int, names: list[str]) -> str:
        shown = ", ".join(names[:SHOWN]) + (" …" if count > SHOWN else "")
        return (
            f"{self.where}: {count} of {self.total} images are unreadable so far, {count / self.total:.2%}: {shown}; "
            f"repair or remove them, or allow more than {self.setting}={self.fraction}"
        )
