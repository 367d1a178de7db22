"""How much a reconstructed image is like the original."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

_PAPER = 1.0  # the background of the digits


def match(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Pairs images by SSIM, the best pairing of all (Hungarian method).

    Args:
        originals: float (n, 28, 28) in [0, 1].
        reconstructions: float (n, 28, 28).

    Returns:
        int (n,): `reconstructions[match(...)]` are in the originals' order.
    """
    _check_pairs(originals, reconstructions)
    gains = [[_ssim(one, other) for other in reconstructions] for one in originals]
    return linear_sum_assignment(gains, maximize=True)[1]


def score(originals: np.ndarray, reconstructions: np.ndarray) -> pd.DataFrame:
    """Compares images one by one, as they are paired.

    Args:
        originals: float (n, 28, 28) in [0, 1].
        reconstructions: float (n, 28, 28).

    Returns:
        One row an image: ssim (1 is equal; Wang et al. 2004), psnr in dB (infinite if equal).
    """
    _check_pairs(originals, reconstructions)
    pairs = list(zip(originals, reconstructions, strict=True))
    with np.errstate(divide="ignore"):
        psnr = [peak_signal_noise_ratio(one, other, data_range=1.0) for one, other in pairs]
    return pd.DataFrame({"ssim": [_ssim(one, other) for one, other in pairs], "psnr": psnr})


def blank_baseline(originals: np.ndarray) -> pd.DataFrame:
    """Returns the scores of blank paper: what an attack that learned nothing gets. See `score`."""
    return score(originals, np.full_like(originals, _PAPER))


def _ssim(image: np.ndarray, other: np.ndarray) -> float:
    return float(structural_similarity(image, other, data_range=1.0))


def _check_pairs(originals: np.ndarray, reconstructions: np.ndarray) -> None:
    shapes = np.shape(originals), np.shape(reconstructions)
    if shapes[0] != shapes[1] or shapes[0][1:] != (28, 28):
        raise ValueError(f"Both must have shape (n, 28, 28). Found {shapes[0]} and {shapes[1]}.")
