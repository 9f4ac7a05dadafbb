"""Methods: factories of pure functions. `METHODS` names them for configs."""

from unsupjax.methods.autoencoder import autoencoder as autoencoder
from unsupjax.methods.barlow_twins import barlow_twins as barlow_twins
from unsupjax.methods.base import Method as Method
from unsupjax.methods.base import State as State
from unsupjax.methods.base import Wants as Wants
from unsupjax.methods.blind_spot import blind_spot as blind_spot
from unsupjax.methods.byol import byol as byol
from unsupjax.methods.codec import codec as codec
from unsupjax.methods.contractive import contractive as contractive
from unsupjax.methods.dec import dec as dec
from unsupjax.methods.denoiser import denoiser as denoiser
from unsupjax.methods.denoising import denoising as denoising
from unsupjax.methods.desom import desom as desom
from unsupjax.methods.dino import dino as dino
from unsupjax.methods.ease import ease as ease
from unsupjax.methods.ease_vae import ease_vae as ease_vae
from unsupjax.methods.embedded_topics import embedded_topics as embedded_topics
from unsupjax.methods.forecast import forecast as forecast
from unsupjax.methods.gan import UPDATES as _OF_GAN
from unsupjax.methods.gan import gan as gan
from unsupjax.methods.kmeans import kmeans as kmeans
from unsupjax.methods.linear_forecast import linear_forecast as linear_forecast
from unsupjax.methods.masked_patches import masked_patches as masked_patches
from unsupjax.methods.masked_tokens import masked_tokens as masked_tokens
from unsupjax.methods.mixed_rows import mixed_rows as mixed_rows
from unsupjax.methods.moco import moco as moco
from unsupjax.methods.moco_v3 import moco_v3 as moco_v3
from unsupjax.methods.mult_vae import mult_vae as mult_vae
from unsupjax.methods.nearest_windows import nearest_windows as nearest_windows
from unsupjax.methods.next_token import next_token as next_token
from unsupjax.methods.prodlda import prodlda as prodlda
from unsupjax.methods.simclr import simclr as simclr
from unsupjax.methods.simcse import simcse as simcse
from unsupjax.methods.simsiam import simsiam as simsiam
from unsupjax.methods.som import som as som
from unsupjax.methods.sparse import k_sparse as k_sparse
from unsupjax.methods.sparse import sparse as sparse
from unsupjax.methods.table_gan import UPDATES as _OF_TABLE_GAN
from unsupjax.methods.table_gan import table_gan as table_gan
from unsupjax.methods.topic_clusters import topic_clusters as topic_clusters
from unsupjax.methods.topic_mixture import topic_mixture as topic_mixture
from unsupjax.methods.tsdae import tsdae as tsdae
from unsupjax.methods.vae import vae as vae
from unsupjax.methods.vicreg import vicreg as vicreg
from unsupjax.methods.word_contrast import word_contrast as word_contrast
from unsupjax.methods.word_means import word_means as word_means

METHODS = {
    "autoencoder": autoencoder,
    "barlow_twins": barlow_twins,
    "blind_spot": blind_spot,
    "byol": byol,
    "codec": codec,
    "contractive": contractive,
    "dec": dec,
    "denoiser": denoiser,
    "denoising": denoising,
    "desom": desom,
    "dino": dino,
    "ease": ease,
    "ease_vae": ease_vae,
    "embedded_topics": embedded_topics,
    "forecast": forecast,
    "gan": gan,
    "k_sparse": k_sparse,
    "kmeans": kmeans,
    "linear_forecast": linear_forecast,
    "masked_patches": masked_patches,
    "masked_tokens": masked_tokens,
    "mixed_rows": mixed_rows,
    "moco": moco,
    "moco_v3": moco_v3,
    "mult_vae": mult_vae,
    "nearest_windows": nearest_windows,
    "next_token": next_token,
    "prodlda": prodlda,
    "simclr": simclr,
    "simcse": simcse,
    "simsiam": simsiam,
    "som": som,
    "sparse": sparse,
    "table_gan": table_gan,
    "topic_clusters": topic_clusters,
    "topic_mixture": topic_mixture,
    "tsdae": tsdae,
    "vae": vae,
    "vicreg": vicreg,
    "word_contrast": word_contrast,
    "word_means": word_means,
}

UPDATES = {
    "gan": _OF_GAN,
    "table_gan": _OF_TABLE_GAN,
}  # method -> optimizer -> its argument that says how many updates a step has
