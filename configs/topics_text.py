"""Topics of texts: k-means of documents that are means of word vectors, and the words that tell the clusters apart.

    python train.py --config=configs/topics_text.py --config.data.source=bow:csv:texts.csv \\
        --config.data.text_column=text

Then `unsupjax topics RUN --html=topics.html` shows them, and `unsupjax assign RUN texts.csv --text_column=text
--out=topics.csv` gives new texts theirs. Without a source of your own, the docstrings of SciPy are divided.

BBC news, 25 topics, five seeds, 35 seconds on a busy machine: NPMI 0.234, diversity 1, purity 92.2 % of test texts
(NMF: 0.211, 0.848 and 87.2 %). 20 newsgroups by date, 50 topics, four seeds, three minutes: 0.267, 1 and 57.9 % (NMF:
0.132, 0.806 and 30.5 %).
"""

from unsupjax.config import experiment


def get_config():
    """The experiment."""
    return experiment(
        data={
            "source": "bow:docstrings",
            "in_order": True,
            "stop_words": "english",
            "min_df": 5,
            "max_df": 0.5,
        },
        method={"name": "topic_clusters", "topics": 20},
        train={"batch_size": 512, "epochs": 30.0, "log_every": 20},
        evaluate={"run": ("topics",)},
    )
