"""More looks at an image: against a loop over pixels and looks, and networks for which they must change nothing."""

import cv2
import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from lightning_modules import test_time_augmentation as tta
from lightning_modules.classification import ClassificationModule
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.test_time_augmentation import average_views, slide_window, window_starts
from tests.lightning_modules.tiny import made


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 11, 17), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture
def network():
    """Sees five pixels around and is not symmetric."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval().requires_grad_(False)
    return lambda seen: body(seen.float() / 255)


@pytest.fixture
def local():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 3, 1).requires_grad_(False)
    return lambda seen: body(seen.float() / 255)


def at(predict, image):
    """(C, H, W) float64 of one (H, W, 3) image."""
    return predict(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None])[0].double().numpy()


def test_the_mean_over_flips_and_scales_is_that_of_a_loop(images, network):
    """OpenCV enlarges as torch does; sizes are doubled so that nothing is shrunk on the way."""
    found = average_views(network, images, flip=True, scales=(1.0, 2.0)).softmax(1)
    for row, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        height, width = image.shape[:2]
        parts = []
        for scale in (1, 2):
            seen = cv2.resize(image.astype(np.float32), (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
            for mirrored in (False, True):
                logits = at(network, seen[:, ::-1] if mirrored else seen)
                logits = logits[..., ::-1] if mirrored else logits
                # Halving, bilinear without antialiasing: the mean of each 2×2 pixels.
                parts.append(softmax(logits.reshape(3, height, scale, width, scale).mean((2, 4)), axis=0))
        np.testing.assert_allclose(found[row], np.mean(parts, axis=0), atol=2e-6)


def test_overlapping_windows_are_averaged_as_in_a_loop(images, network):
    height, width, down, across = 5, 6, 3, 4
    total, looks = np.zeros((2, 3, 11, 17)), np.zeros((11, 17))
    tops, lefts = (0, 3, 6), (0, 4, 8, 11)  # the last of each is shifted inside
    for top in tops:
        for left in lefts:
            place = np.s_[top : top + height, left : left + width]
            total[:, :, *place] += network(images[:, :, *place]).double().numpy()
            looks[place] += 1
    found = slide_window(network, images, (height, width), (down, across))
    np.testing.assert_allclose(found, total / looks, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (4, 4, 2, [0]),
        (5, 4, 4, [0, 1]),
        (8, 4, 4, [0, 4]),
        (3, 1, 1, [0, 1, 2]),
    ],
)
def test_windows_begin_where_they_should(length, window, stride, starts):
    assert window_starts(length, window, stride) == starts


def test_one_plain_look_and_a_window_as_large_as_the_image_are_plain_to_the_bit(images, network):
    plain = network(images)
    assert torch.equal(tta.TestTimeAugmentation()(network, images), plain)
    assert torch.equal(tta.TestTimeAugmentation(window=(11, 17), stride=(7, 11))(network, images), plain)
    assert torch.equal(tta.TestTimeAugmentation(window=(500, 500))(network, images), plain)


@pytest.mark.parametrize("window", [(1, 1), (4, 6), (11, 3), (3, 40)])
def test_a_network_that_sees_one_pixel_says_the_same_in_any_window(images, local, window):
    for stride in {window, (1, 1), tuple(max(1, side // 2) for side in window)}:
        torch.testing.assert_close(slide_window(local, images, window, stride), local(images), rtol=1e-6, atol=1e-6)


def test_where_a_mirror_image_makes_no_difference_none_is_made(images, local):
    found = average_views(local, images, flip=True, scales=(1.0,))
    torch.testing.assert_close(found, local(images).log_softmax(1), rtol=1e-5, atol=1e-6)


def test_flipping_undoes_what_leans_to_one_side(images, network):
    """Whatever the network, mean over both sides is mirrored with the image."""
    found = average_views(network, images, flip=True, scales=(1.0,))
    other = average_views(network, images.flip(-1), flip=True, scales=(1.0,))
    torch.testing.assert_close(other.flip(-1), found, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(images.flip(-1)).flip(-1), network(images), atol=1e-3)


def test_a_whole_images_classes_are_averaged_not_mirrored(images):
    def predict(seen):  # the left column's mean colour
        return seen[..., 0].float().mean(-1)

    found = average_views(predict, images, flip=True, scales=(1.0,)).exp()
    left, right = (images[..., side].float().mean(-1).double().softmax(1) for side in (0, -1))
    torch.testing.assert_close(found.double(), (left + right) / 2, rtol=1e-5, atol=1e-6)


def test_a_probability_of_nothing_has_a_finite_loss(images):
    def predict(seen):
        return torch.tensor([[500.0, 0, 0]]).expand(len(seen), 3)

    found = average_views(predict, images, flip=True, scales=(1.0,))
    assert found[:, 0].tolist() == [0, 0]
    assert found.isfinite().all()


def test_the_reported_stream_has_all_looks_and_counts_each_pixel_once(images):
    torch.manual_seed(0)
    body = nn.Conv2d(3, 3, 5, padding=2)
    module = made(
        SegmentationModule,
        body,
        test_time_augmentation=tta.TestTimeAugmentation(flip=True, scales=(0.5, 1.0), window=(6, 6), stride=(4, 4)),
    )
    target = torch.randint(0, 4, (2, 11, 17), dtype=torch.uint8)  # 3 is void
    batch = {"image": images, "target": target, "index": torch.tensor([4, 5]), "counted": True}
    with torch.no_grad():
        found = module.evaluate_batch(batch, "test")
        prediction = found["prediction"]
        module.evaluate_batch({**batch, "counted": False}, "test")  # what a rank without a batch is given
        module.evaluate_batch(batch, "val")
        looked = module.test_time_augmentation(module, images)
    counts = module.confusion_of("test").compute()
    assert found["index"].tolist() == [4, 5]
    assert torch.equal(prediction, looked.argmax(1))
    torch.testing.assert_close(found["confidence"], looked.softmax(1).amax(1))
    assert counts.sum() == target.numel()
    assert counts.sum(1).tolist() == torch.bincount(target.flatten(), minlength=4).tolist()
    records = module.records_of("test").counts()
    picked = looked.gather(1, target.clamp(max=2).long()[:, None])[:, 0].double()
    expected = [float(-picked[i][target[i] < 3].mean()) for i in range(2)]
    np.testing.assert_allclose(records.loss, expected, rtol=1e-5)
    with torch.no_grad():
        plain = made(SegmentationModule, body)
        plain.evaluate_batch(batch, "test")
        assert torch.equal(module.predict_logits(images).argmax(1), prediction)
    assert torch.equal(module.confusion_of("val").compute(), plain.confusion_of("test").compute())


def test_a_classifier_looks_at_both_sides_too(images):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 11 * 17, 3))
    module = made(ClassificationModule, body, test_time_augmentation=tta.TestTimeAugmentation(flip=True))
    batch = {"image": images, "target": torch.tensor([0, 1]), "index": torch.tensor([0, 1]), "counted": True}
    with torch.no_grad():
        module.evaluate_batch(batch, "test")
        expected = (module(images).softmax(1) + module(images.flip(-1)).softmax(1)) / 2
    facts = module.records_of("test").compute()
    np.testing.assert_allclose(facts["probability"], expected.max(1).values, rtol=1e-5)
    np.testing.assert_allclose(facts["loss"], -expected.log()[[0, 1], [0, 1]], rtol=1e-5)
