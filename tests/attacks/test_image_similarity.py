"""How images are compared and paired."""

import numpy as np
import pytest
from helpers import tiny

from fedlab.attacks import image_similarity

IMAGES = tiny.create_examples(5).pixels


def test_an_image_is_equal_to_itself():
    found = image_similarity.score(IMAGES, IMAGES)
    assert found.ssim.tolist() == pytest.approx([1.0] * 5)
    assert np.isinf(found.psnr).all()


def test_psnr_by_hand():
    # All pixels off by 0.1: mean squared error 0.01, so 20 dB.
    grey = np.full((1, 28, 28), 0.5)
    assert image_similarity.score(grey, grey + 0.1).psnr[0] == pytest.approx(20.0)


def test_pairs_images_again_that_were_mixed():
    order = np.array([3, 0, 4, 1, 2])
    mixed = IMAGES[order]
    assert tiny.same_bits(mixed[image_similarity.match(IMAGES, mixed)], IMAGES)


def test_every_reconstruction_is_used_once_even_if_one_is_the_best_for_all():
    blurred = np.stack([IMAGES[0], *(0.1 * IMAGES[k] for k in range(1, 5))])
    assert sorted(image_similarity.match(np.repeat(IMAGES[:1], 5, axis=0), blurred)) == list(
        range(5)
    )


def test_blank_paper_is_blank_papers_equal_and_no_digits():
    assert image_similarity.blank_baseline(np.ones((1, 28, 28))).ssim[0] == pytest.approx(1.0)
    assert (image_similarity.blank_baseline(IMAGES).ssim < 0.2).all()


@pytest.mark.parametrize("compare", [image_similarity.score, image_similarity.match])
def test_images_that_are_no_pairs_are_refused(compare):
    with pytest.raises(
        ValueError, match=r"reconstructions must have shape \(5, 28, 28\). Found \(4, 28, 28\)."
    ):
        compare(IMAGES, IMAGES[:4])
    with pytest.raises(
        ValueError, match=r"originals must have shape \(n, 28, 28\), n at least 1. Found"
    ):
        compare(IMAGES[..., np.newaxis], IMAGES[..., np.newaxis])
