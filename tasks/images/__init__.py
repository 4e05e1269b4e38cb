"""Image sets as tasks: decoded once to bytes on disk, made into batches on the device of the network.

>>> from tasks.images import Affine, Images, Noise
>>> Images(size=16, augment=[Affine(rotation=20), Noise(0.1)]).shape
(1, 16, 16)
"""

from __future__ import annotations

from tasks.images.augmentation import AUGMENTATIONS, Affine, Augmentation, HorizontalFlip, Noise, RandomCrop, Shift
from tasks.images.cache import CacheError
from tasks.images.catalogue import KNOWN, KnownSet
from tasks.images.fetch import fetch
from tasks.images.image_task import ImageTask
from tasks.images.image_trials import ImageTrials
from tasks.images.images import Images
from tasks.images.normalisation import NORMALISATIONS, Centred, Normalisation, Standard, Unit

__all__ = [
    "AUGMENTATIONS",
    "KNOWN",
    "NORMALISATIONS",
    "Affine",
    "Augmentation",
    "CacheError",
    "Centred",
    "HorizontalFlip",
    "ImageTask",
    "ImageTrials",
    "Images",
    "KnownSet",
    "Noise",
    "Normalisation",
    "RandomCrop",
    "Shift",
    "Standard",
    "Unit",
    "fetch",
]
