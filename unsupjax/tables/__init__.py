"""A GAN for tables of mixed types, the baselines that it must beat, and the report that compares them.

    python -m unsupjax.tables try DATA.csv --target COLUMN

or, in Python,

    table = tables.read("DATA.csv")
    model = tables.fit(jax.random.key(0), table)
    tables.write("SYNTHETIC.csv", tables.sample(model, jax.random.key(1), 1000))
"""

from unsupjax.tables.baselines import fit_copula as fit_copula
from unsupjax.tables.baselines import fit_marginals as fit_marginals
from unsupjax.tables.baselines import sample_copula as sample_copula
from unsupjax.tables.baselines import sample_marginals as sample_marginals
from unsupjax.tables.report import compare as compare
from unsupjax.tables.report import copies as copies
from unsupjax.tables.report import report as report
from unsupjax.tables.report import utility as utility
from unsupjax.tables.saving import load as load
from unsupjax.tables.saving import save as save
from unsupjax.tables.schema import Column as Column
from unsupjax.tables.schema import Table as Table
from unsupjax.tables.schema import from_columns as from_columns
from unsupjax.tables.schema import read as read
from unsupjax.tables.schema import write as write
from unsupjax.tables.table_gan import Diverged as Diverged
from unsupjax.tables.table_gan import TableGAN as TableGAN
from unsupjax.tables.table_gan import fit as fit
from unsupjax.tables.table_gan import sample as sample
from unsupjax.tables.training import Settings as Settings
from unsupjax.tables.trends import column_shapes as column_shapes
from unsupjax.tables.trends import pair_trends as pair_trends
