"""Similarity of reconstructed images and originals: SSIM, PSNR, and the best pairing."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fedlab.checks import check_pixels
from fedlab.data.elements import DIGIT_SHAPE

_BACKGROUND = 1.0  # of the digits, which are dark on white


def match(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Pairs images such that the sum of their SSIM is largest (Hungarian method).

    Args:
        originals: float (n, 28, 28) in [0, 1].
        reconstructions: float (n, 28, 28) in [0, 1].

    Returns:
        int (n,), indices with which `reconstructions[match(...)]` is in the order of the originals.

    Raises:
        TypeError: The images are no numbers.
        ValueError: The shapes are not (n, 28, 28), or a pixel is outside [0, 1].
    """
    originals, reconstructions = _check_pairs(originals, reconstructions)
    gains = [[_ssim(image, other) for other in reconstructions] for image in originals]
    return linear_sum_assignment(gains, maximize=True)[1]


def score(originals: np.ndarray, reconstructions: np.ndarray) -> pd.DataFrame:
    """Compares each original with the reconstruction at the same index.

    Args:
        originals: float (n, 28, 28) in [0, 1].
        reconstructions: float (n, 28, 28) in [0, 1].

    Returns:
        A table with one row for each image and two columns: `ssim`, at most 1, which equal images have
        (Wang et al. 2004), and `psnr` in dB, infinite for equal images.

    Raises:
        TypeError: The images are no numbers.
        ValueError: The shapes are not (n, 28, 28), or a pixel is outside [0, 1].
    """
    originals, reconstructions = _check_pairs(originals, reconstructions)
    pairs = list(zip(originals, reconstructions, strict=True))
    with np.errstate(divide="ignore"):
        psnr = [peak_signal_noise_ratio(image, other, data_range=1.0) for image, other in pairs]
    return pd.DataFrame({"ssim": [_ssim(image, other) for image, other in pairs], "psnr": psnr})


def blank_baseline(originals: np.ndarray) -> pd.DataFrame:
    """Returns the `score` of blank images, the baseline of an attack that learned nothing.

    Args:
        originals: float (n, 28, 28) in [0, 1].
    """
    originals = check_pixels("originals", originals, (None, *DIGIT_SHAPE))
    return score(originals, np.full_like(originals, _BACKGROUND))


def _ssim(image: np.ndarray, other: np.ndarray) -> float:
    return float(structural_similarity(image, other, data_range=1.0))


def _check_pairs(
    originals: np.ndarray, reconstructions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    originals = check_pixels("originals", originals, (None, *DIGIT_SHAPE))
    reconstructions = check_pixels("reconstructions", reconstructions, originals.shape)
    return originals.astype(np.float64), reconstructions.astype(np.float64)
