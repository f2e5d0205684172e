import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import metrics as sklearn_metrics

from metrics.per_image import image_mious, miou_image, worst_images


def images(count, num_classes, seed=0):
    """Small masks that hold few of the classes each, with void in both; the third is all void."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        some = rng.choice(num_classes + 1, size=3)
        truth = rng.choice(some, 60)
        masks.append((truth, np.where(rng.random(60) < 0.6, truth, rng.integers(0, num_classes + 1, 60))))
    masks[2] = (np.full(60, num_classes), masks[2][1])
    return masks


def sparse(masks, num_classes):
    side = num_classes + 1
    return csr_array(np.array([np.bincount(t * side + p, minlength=side**2) for t, p in masks]))


def naive_miou(truth, prediction, num_classes):
    """One image at a time, by sklearn; nan without truth."""
    kept = truth < num_classes
    truth, prediction = truth[kept], prediction[kept]
    occurring = [c for c in range(num_classes) if (truth == c).any() or (prediction == c).any()]
    if not occurring:
        return math.nan
    return sklearn_metrics.jaccard_score(truth, prediction, labels=occurring, average="macro", zero_division=0)


@pytest.mark.parametrize(("count", "num_classes"), [(7, 3), (60, 26)])
def test_equals_sklearn_image_by_image(count, num_classes):
    masks = images(count, num_classes)
    expected = np.array([naive_miou(*mask, num_classes) for mask in masks])
    matrices = sparse(masks, num_classes)
    np.testing.assert_allclose(image_mious(matrices), expected, rtol=1e-12)
    defined = np.sort(expected[~np.isnan(expected)])
    got = miou_image(matrices)
    assert got == pytest.approx(
        {"miou_image": defined.mean(), "miou_image_worst": defined[: math.ceil(len(defined) / 20)].mean()}
    )


def test_by_hand():
    # 2 classes. First: 3 of 4 right, 1 taken for the other. Second: all void. Third: a void prediction is a miss.
    matrices = csr_array(np.array([[3, 1, 0, 0, 0, 0, 0, 0, 0], [0] * 6 + [2, 2, 2], [0, 0, 0, 0, 1, 1, 5, 5, 0]]))
    np.testing.assert_allclose(image_mious(matrices), [(3 / 4 + 0) / 2, math.nan, 1 / 2])
    assert miou_image(matrices) == pytest.approx({"miou_image": (3 / 8 + 1 / 2) / 2, "miou_image_worst": 3 / 8})


def test_worst_first_without_the_undefined():
    assert worst_images(np.array([0.5, math.nan, 0.1, 0.9, 0.1]), share=0.6).tolist() == [2, 4, 0]
    assert miou_image(csr_array((4, 9), dtype=np.int64)) == {"miou_image": None, "miou_image_worst": None}
