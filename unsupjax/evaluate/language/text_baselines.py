"""What counted words tell of the labels of texts: what a representation of texts is measured against."""

from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.representation.labelled import labelled, suffix
from unsupjax.evaluate.subject import Subject, host_seed


def text_baselines(
    subject: Subject, *, fractions: tuple = (1.0,), c: float = 10.0, components: int = 100
) -> dict[str, float]:
    r"""Test accuracy of logistic regression on TF-IDF weights of words, and on their principal directions (LSA).

    A word's weight is :math:`(1 + \ln \mathrm{tf}) (1 + \ln \frac{1 + N}{1 + \mathrm{df}})`, rows have norm 1
    (scikit-learn's `TfidfVectorizer(sublinear_tf=True)`); counts, document frequencies and directions are of all
    training texts, without labels. Texts are what the examples hold: their first L tokens, or the words that count.

    Args:
        subject: what is judged; its data are texts.
        fractions: of the training labels that are used; as of `fine_tune`, and of the same examples.
        c: inverse strength of the L2 penalty.
        components: of LSA, at most.

    Returns:
        `tfidf_accuracy` and `lsa_accuracy`, fractions of the test set; with `_{f}` appended for a fraction
        or number f of labels.

    Raises:
        UserError: there are no labels, or fewer than two classes; `fractions` is as `fine_tune` does not take it; no
            text has a word.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    y_train, y_test = (require.labels(y, "text_baselines") for y in (subject.y_train, subject.y_test))
    texts = [require.texts(subject.kind, x) for x in (subject.x_train, subject.x_test)]
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    try:
        spaces = {"tfidf": (vectorizer.fit_transform(texts[0]), vectorizer.transform(texts[1]))}
    except ValueError as error:
        raise UserError(f"text_baselines: {error}") from error
    components = min(components, min(spaces["tfidf"][0].shape) - 1)
    if components >= 1:
        svd = TruncatedSVD(components, random_state=host_seed(subject.key)).fit(spaces["tfidf"][0])
        spaces["lsa"] = tuple(svd.transform(x) for x in spaces["tfidf"])
    results = {}
    for f, rows in labelled(subject, fractions, "text_baselines").items():
        for name, (train, test) in spaces.items():
            model = LogisticRegression(C=c, max_iter=1000).fit(train[rows], y_train[rows])
            results[f"{name}_accuracy" + suffix(f)] = model.score(test, y_test)
    return results
