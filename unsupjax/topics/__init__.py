"""Topics of texts: word vectors, the words that tell topics apart, and how well these belong together."""

from unsupjax.topics.coherence import diversity as diversity
from unsupjax.topics.coherence import document_npmi as document_npmi
from unsupjax.topics.coherence import npmi as npmi
from unsupjax.topics.coherence import window_npmi as window_npmi
from unsupjax.topics.word_vectors import common_component as common_component
from unsupjax.topics.word_vectors import cooccurrences as cooccurrences
from unsupjax.topics.word_vectors import ppmi as ppmi
from unsupjax.topics.word_vectors import sif_weights as sif_weights
from unsupjax.topics.word_vectors import spelling_vectors as spelling_vectors
from unsupjax.topics.word_vectors import word_vectors as word_vectors
from unsupjax.topics.words import class_tfidf as class_tfidf
from unsupjax.topics.words import coherent as coherent
from unsupjax.topics.words import exclusive as exclusive
from unsupjax.topics.words import top_words as top_words
