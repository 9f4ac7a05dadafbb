"""Data: where examples come from (`open_source`), and `arrays`, which turns a split into numpy arrays."""

from unsupjax.data.sources import Source as Source
from unsupjax.data.sources import open_source as open_source
from unsupjax.data.splits import arrays as arrays
