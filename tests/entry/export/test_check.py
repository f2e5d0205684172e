"""An export that differs is found out: by its logits, by its classes, at one size only."""

import pytest
import torch
from torch import nn

from entry.errors import ExportError
from entry.export.check import cases, compared, facts, pictures


class Colours(nn.Module):
    """The colours of each pixel as logits, wrong by a factor for images as wide as `at`."""

    def __init__(self, factor=1.0, at=None):
        super().__init__()
        self.factor, self.at = factor, at

    def forward(self, images):
        wrong = self.at in (None, images.shape[-1])
        return images.float() * (self.factor if wrong else 1.0)


def test_equal_networks_are_the_same_at_several_sizes():
    found = compared(Colours(), Colours(1 + 1e-5), (20, 30), fixed=False, ids=False)
    assert [(each.images, each.height, each.width) for each in found] == [
        (1, 20, 30),
        (3, 20, 30),
        (2, 27, 24),
        (1, 16, 41),
    ]
    assert all(0 < each.difference < 2e-5 and each.equal == 1.0 for each in found)
    assert facts(found)["found"][2]["width"] == 24
    assert {(height, width) for _, height, width in cases((20, 30), fixed=True)} == {(20, 30)}


def test_a_difference_of_the_logits_is_named_with_where_it_is():
    with pytest.raises(
        ExportError, match=r"for 2 images of 27×24 pixels logits differ by 1\.0e-03 \(allowed: 1e-04\), and 100\.000%"
    ):
        compared(Colours(), Colours(1.001, at=24), (20, 30), fixed=False, ids=False)
    compared(Colours(), Colours(1.001, at=24), (20, 30), fixed=True, ids=False)


class Shifted(nn.Module):
    """The same for some pixels, another class for others."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def forward(self, images):
        found = images.float()
        found[:, :, 0, : self.pixels] = found[:, :, 0, : self.pixels].roll(1, 1)
        return found


def test_other_classes_are_found_where_logits_are_not_compared():
    with pytest.raises(ExportError, match=r"% of the classes are equal \(needed: 99\.99%\)"):
        compared(Colours(), Shifted(3), (20, 30), fixed=True, ids=True)
    assert compared(Colours(), Shifted(0), (20, 30), fixed=True, ids=True)[0].difference is None


class Tied(nn.Module):
    """Two classes whose logits differ by a millionth; the first has the larger one where images are as wide as `at`."""

    def __init__(self, factor=1.0, at=None):
        super().__init__()
        self.factor, self.at = factor, at

    def forward(self, images):
        mean = images.double().mean(1)
        pair = mean, mean + 1e-4
        return torch.stack(pair[::-1] if images.shape[-1] == self.at else pair, 1) * (
            1 if images.shape[-1] == self.at else self.factor
        )


def test_the_size_that_fails_is_named_and_not_the_one_with_the_largest_difference():
    with pytest.raises(
        ExportError, match=r"for 2 images of 27×24 pixels logits differ by .*e-07 .* 0\.000% of the classes are equal"
    ):
        compared(Tied(), Tied(1 + 5e-5, at=24), (20, 30), fixed=False, ids=False)


def test_numbers_that_are_not_finite_are_no_prediction():
    with pytest.raises(ExportError, match="finite or not"):
        compared(Colours(), Colours(float("nan")), (8, 8), fixed=True, ids=False)


def test_the_images_are_the_same_each_time_and_use_the_whole_range():
    assert torch.equal(pictures(2, 30, 50), pictures(2, 30, 50))
    assert (pictures(2, 30, 50).min(), pictures(2, 30, 50).max()) == (0, 255)
