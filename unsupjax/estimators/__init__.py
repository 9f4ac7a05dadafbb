"""k-means, self-organizing maps and DBSCAN as scikit-learn estimators: for pipelines, grid searches and clones.

The functions behind them compute in float32. Here rows are first moved by their mean and scaled by a power of two,
in float64, so that data far from zero or of any magnitude loses nothing that float32 can hold; what is fitted comes
back in the dtype of the data.
"""

from unsupjax.estimators.dbscan import DBSCAN as DBSCAN
from unsupjax.estimators.kmeans import KMeans as KMeans
from unsupjax.estimators.som import SOM as SOM
