"""Data: where examples come from (`open_source`), and `arrays`, which turns a split into numpy arrays."""

from unsupjax.data.source import Source as Source
from unsupjax.data.source import downloads as downloads
from unsupjax.data.source import open_source as open_source
from unsupjax.data.splits import arrays as arrays
