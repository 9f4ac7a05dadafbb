"""Figures of a trained method: each draws one PNG."""

from unsupjax.evaluate.figures.completions import completions as completions
from unsupjax.evaluate.figures.curves import learning_curves as learning_curves
from unsupjax.evaluate.figures.detection import scores as scores
from unsupjax.evaluate.figures.embedding import check_tsne as check_tsne
from unsupjax.evaluate.figures.embedding import pca as pca
from unsupjax.evaluate.figures.embedding import tsne as tsne
from unsupjax.evaluate.figures.film import animate as animate
from unsupjax.evaluate.figures.labels import label_efficiency as label_efficiency
from unsupjax.evaluate.figures.latents import interpolations as interpolations
from unsupjax.evaluate.figures.maps import component_planes as component_planes
from unsupjax.evaluate.figures.maps import hits as hits
from unsupjax.evaluate.figures.maps import label_map as label_map
from unsupjax.evaluate.figures.maps import u_matrix as u_matrix
from unsupjax.evaluate.figures.panels import check_panels as check_panels
from unsupjax.evaluate.figures.panels import clustering_panels as clustering_panels
from unsupjax.evaluate.figures.pictures import filters as filters
from unsupjax.evaluate.figures.pictures import prototypes as prototypes
from unsupjax.evaluate.figures.pictures import reconstructions as reconstructions
from unsupjax.evaluate.figures.pictures import samples as samples
from unsupjax.evaluate.figures.series import contributions as contributions
from unsupjax.evaluate.figures.series import detections as detections
from unsupjax.evaluate.figures.series import worst_windows as worst_windows
from unsupjax.evaluate.figures.texts import nearest_texts as nearest_texts
from unsupjax.evaluate.figures.trees import dendrogram as dendrogram
from unsupjax.evaluate.figures.views import views as views
