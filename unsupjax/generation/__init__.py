"""How near a set of samples is to a set of data: pure functions of rows `[N, D]`, which know no method.

Computed in float64 on the host, in blocks: no N x N array exists.
"""

from unsupjax.generation.frechet import frechet_distance as frechet_distance
from unsupjax.generation.frechet import frechet_of_moments as frechet_of_moments
from unsupjax.generation.kernel import kernel_distance as kernel_distance
from unsupjax.generation.manifold import PRDC as PRDC
from unsupjax.generation.manifold import prdc as prdc
from unsupjax.generation.memorisation import Memorisation as Memorisation
from unsupjax.generation.memorisation import memorisation as memorisation
from unsupjax.generation.modes import ModeCoverage as ModeCoverage
from unsupjax.generation.modes import kl_from_uniform as kl_from_uniform
from unsupjax.generation.modes import mode_coverage as mode_coverage
from unsupjax.generation.modes import share_within as share_within
from unsupjax.generation.two_sample import C2ST as C2ST
from unsupjax.generation.two_sample import c2st as c2st
from unsupjax.generation.wasserstein import sliced_wasserstein as sliced_wasserstein
