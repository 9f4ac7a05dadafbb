"""Losses as pure functions: unreduced, float32, importable on their own."""

from unsupjax.losses.clustering import dec_loss as dec_loss
from unsupjax.losses.clustering import som_distortion as som_distortion
from unsupjax.losses.clustering import squared_distances as squared_distances
from unsupjax.losses.clustering import student_t as student_t
from unsupjax.losses.clustering import target_distribution as target_distribution
from unsupjax.losses.contractive import jacobian_exact as jacobian_exact
from unsupjax.losses.contractive import jacobian_hutchinson as jacobian_hutchinson
from unsupjax.losses.contractive import jacobian_sigmoid as jacobian_sigmoid
from unsupjax.losses.reconstruction import LIKELIHOODS as LIKELIHOODS
from unsupjax.losses.reconstruction import Likelihood as Likelihood
from unsupjax.losses.reconstruction import bernoulli_nll as bernoulli_nll
from unsupjax.losses.reconstruction import gaussian as gaussian
from unsupjax.losses.reconstruction import gaussian_nll as gaussian_nll
from unsupjax.losses.reconstruction import likelihood as likelihood
from unsupjax.losses.reconstruction import squared_error as squared_error
from unsupjax.losses.sparsity import kl_sparsity as kl_sparsity
from unsupjax.losses.sparsity import l1 as l1
from unsupjax.losses.variational import importance_weighted_bound as importance_weighted_bound
from unsupjax.losses.variational import kl_standard_normal as kl_standard_normal
from unsupjax.losses.variational import normal_log_prob as normal_log_prob
