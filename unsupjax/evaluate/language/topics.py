"""Whether the words of topics belong together, how far topics differ, and whether they are those of labels."""

import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from unsupjax import topics as algorithms
from unsupjax.cluster import scores
from unsupjax.data.bags import Rows, unpadded
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, host_seed, map_batches


def topics(
    subject: Subject, *, words: int = 10, window: int = 10, nmf: bool = True, batch_size: int = 512
) -> dict[str, float]:
    """Measures the first words of each topic on the training texts, and the topic of each test text by its label.

    `npmi` is the mean over topics of the normalised pointwise mutual information of their words in sliding windows over
    the training texts (gensim's `c_npmi`), where these were read with `config.data.in_order`: only words of the
    vocabulary make a text. `npmi_documents` counts whole documents in place of windows, and reads some 0.1 higher: the
    two are not to be compared. NMF of sublinear TF-IDF with as many topics stands beside it, fitted on the same
    training texts, the topic of a text being its greatest.

    Args:
        subject: whose examples are texts, as `bow:` reads them.
        words: of each topic.
        window: words of a sliding window.
        nmf: whether NMF stands beside it.
        batch_size: texts at once.

    Returns:
        `npmi`, where there is an order, `npmi_documents`, `diversity` (the fraction of all top words that are
        different), `topics_used` (that a test text has); with labels of two classes or more `purity` and `nmi` of the
        test texts and `purity_train`; and the same of NMF (`_nmf` behind).

    Raises:
        UserError: there are fewer words than a topic is to have.
    """
    weights, assign = (require.function(subject.method, name, "topics") for name in ("topics", "assign"))
    texts = [unpadded(np.asarray(x)) for x in (subject.x_train, subject.x_test)]
    size = subject.kind.size
    if size < words:
        raise UserError(
            f"config.evaluate.topics.words={words} of a topic, and there are {size} words in all; lower it"
        )
    found = np.asarray(jax.jit(weights)(subject.state))
    tops = np.asarray(algorithms.top_words(found, words))
    of = [map_batches(assign, x, batch_size, subject.state) for x in (subject.x_train, subject.x_test)]
    results = _measured(subject, texts[0], tops, of, window)
    if nmf:
        tops, of = _nmf(*texts, size, len(found), words, host_seed(subject.key))
        beside = _measured(subject, texts[0], tops, of, window)
        results |= {f"{name}_nmf": value for name, value in beside.items()}
    return results


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses sizes that mean nothing."""
    for name, least in (("words", 2), ("window", 2)):
        if arguments[name] < least:
            raise UserError(f"config.evaluate.topics.{name}={arguments[name]} must be at least {least}")


def _measured(
    subject: Subject, train: Rows, tops: np.ndarray, of: list[np.ndarray], window: int
) -> dict[str, float]:
    """All measures of topics with these words, which the training and test texts have."""
    words = tops.shape[1]
    results = {}
    if subject.kind.in_order:
        results["npmi"] = float(
            algorithms.window_npmi(tops, train.starts, train.items, window=window, words=words).mean()
        )
    by_documents = algorithms.document_npmi(tops, train.starts, train.items, words=words)
    results |= {
        "npmi_documents": float(by_documents.mean()),
        "diversity": algorithms.diversity(tops),
        "topics_used": float(len(np.unique(of[1]))),
    }
    for y, found, names in (
        (subject.y_test, of[1], ("purity", "nmi")),
        (subject.y_train, of[0], ("purity_train",)),
    ):
        if y is not None and len(np.unique(y)) > 1:
            values = scores.purity(y, found), scores.normalized_mutual_information(y, found)
            results |= dict(zip(names, values, strict=False))
    return results


def _nmf(
    train: Rows, test: Rows, size: int, topics: int, words: int, seed: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The words of each topic, and the topics of the training and of the test texts."""
    from scipy import sparse
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer

    def bags(rows):
        counts = np.ones(len(rows.items)) if rows.counts is None else rows.counts
        made = sparse.csr_matrix(
            (counts.astype(np.float64), rows.items, rows.starts), (len(rows), size), copy=True
        )
        made.sum_duplicates()
        return made

    weigh = TfidfTransformer(sublinear_tf=True).fit(bags(train))
    x_train, x_test = (weigh.transform(bags(rows)) for rows in (train, test))
    topics = min(topics, *x_train.shape)
    model = NMF(topics, init="nndsvd", max_iter=300, tol=1e-3, random_state=seed)
    with warnings.catch_warnings():  # what has not converged after so many is as good
        warnings.simplefilter("ignore", ConvergenceWarning)
        of = [model.fit_transform(x_train).argmax(axis=1), model.transform(x_test).argmax(axis=1)]
    return np.argsort(-model.components_, axis=1, kind="stable")[:, :words], of
