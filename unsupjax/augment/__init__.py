"""Random changes of one example, `f(key, x, ...) -> x`, and pairs of views; all on the device, vmapped by the caller.

Images are float32 `[H, W, C]` with values in [0, 1].
"""

from unsupjax.augment.colour import brightness as brightness
from unsupjax.augment.colour import colour_jitter as colour_jitter
from unsupjax.augment.colour import contrast as contrast
from unsupjax.augment.colour import greyscale as greyscale
from unsupjax.augment.colour import hue as hue
from unsupjax.augment.colour import saturation as saturation
from unsupjax.augment.diff_augment import DIFF_AUGMENTS as DIFF_AUGMENTS
from unsupjax.augment.diff_augment import check_ops as check_ops
from unsupjax.augment.diff_augment import diff_augment as diff_augment
from unsupjax.augment.filters import cutout as cutout
from unsupjax.augment.filters import gaussian_blur as gaussian_blur
from unsupjax.augment.filters import solarize as solarize
from unsupjax.augment.filters import with_probability as with_probability
from unsupjax.augment.geometry import RESAMPLING as RESAMPLING
from unsupjax.augment.geometry import horizontal_flip as horizontal_flip
from unsupjax.augment.geometry import random_affine as random_affine
from unsupjax.augment.geometry import random_resized_crop as random_resized_crop
from unsupjax.augment.noise import CORRUPTIONS as CORRUPTIONS
from unsupjax.augment.noise import binarize as binarize
from unsupjax.augment.noise import corruption as corruption
from unsupjax.augment.noise import gaussian_noise as gaussian_noise
from unsupjax.augment.noise import masking_noise as masking_noise
from unsupjax.augment.noise import salt_and_pepper as salt_and_pepper
from unsupjax.augment.photos import byol as byol
from unsupjax.augment.photos import moco_v2 as moco_v2
from unsupjax.augment.photos import simclr as simclr
from unsupjax.augment.policies import POLICIES as POLICIES
from unsupjax.augment.policies import InBatch as InBatch
from unsupjax.augment.policies import glyphs as glyphs
from unsupjax.augment.policies import scarf as scarf
