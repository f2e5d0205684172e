import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.finite_logits import BATCHES_BETWEEN_LOOKS, FiniteLogits
from lightning_modules.classification import ClassificationModule
from lightning_modules.errors import TrainingError
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.test_time_augmentation import Inference
from tests.callbacks.tiny import trainer
from tests.lightning_modules.test_test_time_augmentation import made

NAMES = [f"frame {i}" for i in range(6)]


class Given(lightning.LightningModule):
    """Says that samples are finite as it is told to."""

    def __init__(self, finite):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.finite = torch.tensor(finite)

    def test_step(self, batch, batch_idx):
        index = batch.long()
        return {"index": index, "finite": self.finite[index]}


def evaluated(tmp_path, module, **settings):
    loader = DataLoader(torch.arange(float(len(NAMES))), batch_size=2)
    trainer(tmp_path, [FiniteLogits(NAMES)], **settings).test(module, loader, verbose=False)


def test_the_first_sample_is_named_and_why(tmp_path):
    evaluated(tmp_path, Given([True] * 6))
    module = Given([True, True, True, False, True, False])
    with pytest.raises(TrainingError, match=r"says of frame 3 is not a finite number.*look at that picture"):
        evaluated(tmp_path, module)
    with pytest.raises(TrainingError, match=r"trainer\.precision=bf16-mixed: type trainer\.precision=32-true"):
        evaluated(tmp_path, module, precision="bf16-mixed")
    nn.init.constant_(module.layer.bias, torch.nan)
    with pytest.raises(TrainingError, match=r"1 of 2 tensors of its weights are not finite, such as layer\.bias"):
        evaluated(tmp_path, module)


def test_an_accelerator_is_not_waited_for_at_each_batch(monkeypatch):
    looks = []
    monkeypatch.setattr(FiniteLogits, "_look", lambda self, *_: looks.append(len(self._seen)))
    device = type("", (), {"device": torch.device("cuda")})
    callback = FiniteLogits(NAMES)
    for _ in range(BATCHES_BETWEEN_LOOKS):
        callback.on_test_batch_end(None, device, {"index": torch.zeros(1), "finite": torch.ones(1)})
    callback.on_test_epoch_end(None, device)
    assert looks == [BATCHES_BETWEEN_LOOKS, BATCHES_BETWEEN_LOOKS]  # the first of them did not empty it


@pytest.mark.parametrize("looks", [Inference(), Inference(flip=True), Inference(window=(4, 4), stride=(4, 4))])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_single_pixel_is_seen_and_a_class_that_is_never_said_is_none(looks, bad):
    module = made(SegmentationModule, nn.Conv2d(3, 3, 1), looks)
    batch = {"image": torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8), "index": torch.arange(2), "counted": True,
             "target": torch.zeros(2, 8, 8, dtype=torch.uint8)}  # fmt: skip

    def finite(change):
        with torch.no_grad():
            module.network.register_forward_hook(lambda *given: change(given[-1]))
            return module.evaluate_batch(batch, "test")[-1].tolist()

    assert finite(lambda logits: logits.index_fill(1, torch.tensor([2]), -torch.inf)) == [True, True]

    def spoil(logits):
        logits = logits.clone()
        logits[1, 0, 3, 2] = bad
        return logits

    assert finite(spoil) == [True, False]


def test_an_image_whose_logits_are_nan_is_seen():
    module = made(ClassificationModule, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), Inference())
    module.mean[0, 0] = torch.nan
    batch = {"image": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "index": torch.arange(2), "counted": True, "target": torch.zeros(2).long()}  # fmt: skip
    assert module.evaluate_batch(batch, "test")[-1].tolist() == [False, False]
