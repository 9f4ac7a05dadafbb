"""k-means, maps, DBSCAN and networks as scikit-learn estimators: for pipelines, grid searches and clones.

Networks standardise the columns of rows in float64 before they see them. The functions behind k-means, maps and DBSCAN
compute in float32 as well, and of these rows are first moved by their mean and scaled by a power of two,
in float64, so that data far from zero or of any magnitude loses nothing that float32 can hold; what is fitted comes
back in the dtype of the data.
"""

from unsupjax.estimators.anomaly import AnomalyDetector as AnomalyDetector
from unsupjax.estimators.autoencoders import VAE as VAE
from unsupjax.estimators.autoencoders import AutoEncoder as AutoEncoder
from unsupjax.estimators.dbscan import DBSCAN as DBSCAN
from unsupjax.estimators.kmeans import KMeans as KMeans
from unsupjax.estimators.simclr import SimCLR as SimCLR
from unsupjax.estimators.som import SOM as SOM
