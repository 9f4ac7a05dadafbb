"""Methods: factories of pure functions. `METHODS` names them for configs."""

from unsupjax.methods.autoencoder import autoencoder as autoencoder
from unsupjax.methods.base import Method as Method
from unsupjax.methods.base import State as State
from unsupjax.methods.contractive import contractive as contractive
from unsupjax.methods.denoising import denoising as denoising
from unsupjax.methods.sparse import k_sparse as k_sparse
from unsupjax.methods.sparse import sparse as sparse
from unsupjax.methods.vae import vae as vae

METHODS = {
    "autoencoder": autoencoder,
    "contractive": contractive,
    "denoising": denoising,
    "k_sparse": k_sparse,
    "sparse": sparse,
    "vae": vae,
}
