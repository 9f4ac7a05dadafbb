"""Figures of a trained method: each draws one PNG."""

from unsupjax.evaluate.figures.curves import learning_curves as learning_curves
from unsupjax.evaluate.figures.detection import scores as scores
from unsupjax.evaluate.figures.embedding import tsne as tsne
from unsupjax.evaluate.figures.pictures import filters as filters
from unsupjax.evaluate.figures.pictures import reconstructions as reconstructions
from unsupjax.evaluate.figures.pictures import samples as samples
