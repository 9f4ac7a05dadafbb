"""What lies near what in a representation of texts."""

import collections
import re
import textwrap
from pathlib import Path

import numpy as np

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.figures import style
from unsupjax.evaluate.subject import Subject, codes, random_subset

_WORD = re.compile(r"[^\W\d_]{4,}")
_LINE = 0.137  # inches


def nearest_texts(
    subject: Subject,
    path: str | Path,
    *,
    words: int = 10,
    documents: int = 5,
    neighbours: int = 5,
    among: int = 3000,
) -> None:
    """Write out the nearest neighbours of words, and of held-out documents among those of training.

    A word is seen as a document of that word alone. Neighbours are those of the highest cosine similarity of codes less
    their mean, which all codes have in common.

    Args:
        subject: what is shown; its data are texts.
        path: the PNG to write.
        words: how many words, drawn at random of the tenth that is most frequent.
        documents: how many test documents, drawn at random, each with the nearest other training document.
        neighbours: of each word.
        among: the most frequent words of four letters or more of the training documents that are looked among.

    Raises:
        UserError: no training document has two words.
    """
    train, test = (require.texts(subject.kind, x) for x in (subject.x_train, subject.x_test))
    counted = collections.Counter(word for text in train for word in _WORD.findall(text))
    known = [word for word, _ in counted.most_common(among)]
    if len(known) < 2:
        raise UserError("nearest_texts: no training document has two words of four letters or more")
    # Byte pairs know a word within a text with the blank before it.
    z = _unit(codes(subject.method, subject.state, subject.kind.prepare([f" {w}" for w in known])))
    frequent = max(len(known) // 10, min(len(known), words))
    lines = ["words, and the nearest to each", ""]
    for i in random_subset(subject.key, frequent, words):
        near = [known[j] for j in np.argsort(-(z @ z[i]), kind="stable") if j != i][:neighbours]
        lines.append(f"  {known[i]:<18} {', '.join(near)}")
    lines += ["", "test documents, and the training document nearest to each", ""]
    both = _unit(np.concatenate([subject.z_train, subject.z_test]))
    z_train, z_test = both[: len(train)], both[len(train) :]
    for i in random_subset(subject.key, len(test), documents):
        ordered = train[np.argsort(-(z_train @ z_test[i]), kind="stable")]
        other = next((text for text in ordered if text != test[i]), "")  # the same one says nothing
        lines += _wrapped("  ", test[i]) + _wrapped("    -> ", other)
    figure = style.new_figure(9.0, _LINE * len(lines) + 0.3)
    figure.text(
        0.02, 1 - 0.1 / figure.get_figheight(), "\n".join(lines), va="top", family="monospace", fontsize=8
    )
    style.save(figure, path)


def _wrapped(lead: str, text: str) -> list[str]:
    """The beginning of a text on two lines."""
    text = " ".join(text.split())
    return textwrap.wrap(text, 100, initial_indent=lead, subsequent_indent=" " * len(lead), max_lines=2) or [
        lead
    ]


def _unit(z: np.ndarray) -> np.ndarray:
    z = z - z.mean(0, keepdims=True)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(length > 0, length, 1)
