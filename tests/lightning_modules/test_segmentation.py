"""What a batch that tells how large regions are is counted as."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from label_spaces.space import LabelSpace
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.test_time_augmentation import TestTimeAugmentation as Views
from tests.lightning_modules.tiny import made


@pytest.mark.parametrize("truth", [None, LabelSpace("others", ("x", "y"))])
def test_regions_are_counted_beside_and_change_nothing_else(truth):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 11, 17), dtype=torch.uint8)
    module, plain = (made(partial(SegmentationModule, truth=truth), nn.Conv2d(3, 3, 5, padding=2)) for _ in "ab")
    plain.network.load_state_dict(module.network.state_dict())
    void = module.truth.num_classes
    target = torch.randint(0, void + 1, (2, 11, 17), dtype=torch.uint8)
    region = torch.randint(1, 4, (2, 11, 17), dtype=torch.uint8).masked_fill(target == void, 0)
    region[1].clamp_(max=2)  # the second frame has no large ones
    batch = {"image": images, "target": target, "index": torch.tensor([4, 5]), "counted": True}
    with torch.no_grad():
        module.evaluate_batch({**batch, "region": region}, "test")
        module.evaluate_batch({**batch, "region": region, "counted": False}, "test")
        found = plain.evaluate_batch(batch, "test")
        logits = plain(images)
        assert "confidence" not in plain.evaluate_batch(batch, "val")
    prediction = found["prediction"]
    torch.testing.assert_close(found["confidence"], logits.softmax(1).amax(1))
    counts = module.confusion_of("test").compute()
    assert torch.equal(counts, plain.confusion_of("test").compute())
    one, other = (each.records_of("test").counts() for each in (module, plain))
    if truth is None:
        losses = functional.cross_entropy(logits, target.long(), ignore_index=3, reduction="none").double()
        np.testing.assert_allclose(
            one.loss, [float(each[of != 3].mean()) for each, of in zip(losses, target, strict=True)], rtol=1e-12
        )
    else:
        assert np.isnan(one.loss).all()
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


@pytest.mark.parametrize("views", [Views(), Views(flip=True), Views(window=(4, 4), stride=(4, 4))])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_single_pixel_that_is_not_finite_is_noticed_and_an_impossible_class_is_none(views, bad):
    module = made(SegmentationModule, nn.Conv2d(3, 3, 1), test_time_augmentation=views)
    batch = {"image": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8), "index": torch.arange(2), "counted": True,
             "target": torch.zeros(2, 8, 8, dtype=torch.uint8)}  # fmt: skip

    def finite(change):
        with torch.no_grad():
            module.network.register_forward_hook(lambda *given: change(given[-1]))
            return module.evaluate_batch(batch, "test")["finite"].tolist()

    assert finite(lambda logits: logits.index_fill(1, torch.tensor([2]), -torch.inf)) == [True, True]

    def spoil(logits):
        logits = logits.clone()
        logits[1, 0, 3, 2] = bad
        return logits

    assert finite(spoil) == [True, False]
