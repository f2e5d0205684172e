"""What a batch that tells how large regions are is counted as."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from label_spaces.space import LabelSpace
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.test_time_augmentation import Inference
from tests.lightning_modules.test_test_time_augmentation import made


@pytest.mark.parametrize("truth", [None, LabelSpace("others", ("x", "y"))])
def test_regions_are_counted_beside_and_change_nothing_else(truth):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 11, 17), dtype=torch.uint8)
    module, plain = (
        made(partial(SegmentationModule, truth=truth), nn.Conv2d(3, 3, 5, padding=2), Inference()) for _ in "ab"
    )
    plain.network.load_state_dict(module.network.state_dict())
    void = module.truth.num_classes
    target = torch.randint(0, void + 1, (2, 11, 17), dtype=torch.uint8)
    region = torch.randint(1, 4, (2, 11, 17), dtype=torch.uint8).masked_fill(target == void, 0)
    region[1].clamp_(max=2)  # the second frame has no large ones
    batch = {"image": images, "target": target, "index": torch.tensor([4, 5]), "counted": True}
    with torch.no_grad():
        module.evaluate_batch({**batch, "region": region}, "test")
        module.evaluate_batch({**batch, "region": region, "counted": False}, "test")
        _, prediction, _ = plain.evaluate_batch(batch, "test")
    counts = module.confusion_of("test").compute()
    assert torch.equal(counts, plain.confusion_of("test").compute())
    one, other = (each.records_of("test").counts() for each in (module, plain))
    assert (one.matrices != other.matrices).nnz == 0
    found = module.regions.compute()
    expected = np.zeros((3, void + 1, 4), int)
    known = target != void
    np.add.at(expected, (region[known].long() - 1, target[known].long(), prediction[known]), 1)
    np.testing.assert_array_equal(found.matrices, expected)
    assert found.frames.tolist() == [2, 2, 1]
    module.reset_stream("val")
    assert module.regions.counts.any()
    module.reset_stream("test")
    assert not module.regions.counts.any()
    assert not [name for name in module.state_dict() if "region" in name]  # checkpoints stay as they are
