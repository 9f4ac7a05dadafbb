"""A GAN for tables of mixed types, the baselines that it must beat, and the report that compares them.

    unsupjax tables try DATA.csv --target COLUMN

or, in Python,

    table = tables.read("DATA.csv")
    model = tables.fit(jax.random.key(0), table)
    tables.write("SYNTHETIC.csv", tables.sample(model, jax.random.key(1), 1000))
"""

from unsupjax.data.columns import Column as Column
from unsupjax.data.columns import Table as Table
from unsupjax.evaluate.synthesis.table_report import copies as copies
from unsupjax.evaluate.synthesis.table_report import report as report
from unsupjax.evaluate.synthesis.table_report import utility as utility
from unsupjax.evaluate.synthesis.table_trends import column_shapes as column_shapes
from unsupjax.evaluate.synthesis.table_trends import pair_trends as pair_trends
from unsupjax.run.loop import Diverged as Diverged
from unsupjax.tables.baselines import compare as compare
from unsupjax.tables.baselines import fit_copula as fit_copula
from unsupjax.tables.baselines import fit_marginals as fit_marginals
from unsupjax.tables.baselines import sample_copula as sample_copula
from unsupjax.tables.baselines import sample_marginals as sample_marginals
from unsupjax.tables.saving import load as load
from unsupjax.tables.saving import save as save
from unsupjax.tables.schema import from_columns as from_columns
from unsupjax.tables.schema import read as read
from unsupjax.tables.schema import write as write
from unsupjax.tables.table_gan import Settings as Settings
from unsupjax.tables.table_gan import TableGAN as TableGAN
from unsupjax.tables.table_gan import fit as fit
from unsupjax.tables.table_gan import sample as sample
