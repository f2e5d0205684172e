import math

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.classification import ClassificationModule
from tests.lightning_modules.tiny import made


@pytest.fixture
def module():
    """Its logits are the mean of each channel, in 0–1."""
    return made(ClassificationModule, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def batch(*colours, target, counted=True):
    images = torch.tensor(colours, dtype=torch.uint8).view(-1, 3, 1, 1).expand(-1, 3, 4, 4)
    return {"image": images, "target": torch.tensor(target), "index": torch.arange(len(target)), "counted": counted}


def test_predictions_and_losses_are_recorded(module):
    module.evaluate_batch(batch((255, 0, 0), (0, 0, 255), target=[0, 1]), "val")
    module.evaluate_batch(batch((255, 0, 0), target=[0], counted=False), "val")
    facts = module.records_of("val").compute()
    assert (facts["target"].tolist(), facts["prediction"].tolist()) == ([0, 1], [0, 2])
    total = math.e + 2  # of the exponentials of 1, 0 and 0
    np.testing.assert_allclose(facts["probability"], [math.e / total] * 2, rtol=1e-6)
    assert module.records_of("val").counts().mean_loss() == pytest.approx(
        math.log(total) - 1 / 2
    )  # of losses log(total) - 1 and log(total)
    assert module.confusion_of("val").compute()[:3, :3].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    module.reset_stream("val")
    assert module.confusion_of("val").compute().sum() == len(module.records_of("val").compute()["index"]) == 0


def test_an_image_with_logits_of_nan_is_noticed(module):
    module.mean[0, 0] = torch.nan
    found = module.evaluate_batch(batch((0, 0, 0), (9, 9, 9), target=[0, 0]), "test")
    assert found["finite"].tolist() == [False, False]
