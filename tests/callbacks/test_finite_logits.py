from functools import partial

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.finite_checks import BATCHES_BETWEEN_CHECKS
from callbacks.finite_logits import FiniteLogits
from lightning_modules.errors import TrainingError
from tests.callbacks.tiny import trainer

NAMES = [f"frame {i}" for i in range(6)]


class Given(lightning.LightningModule):
    """Reports samples as finite or not, as given."""

    def __init__(self, finite):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.finite = torch.tensor(finite)

    def test_step(self, batch, batch_idx):
        index = batch.long()
        return {"index": index, "finite": self.finite[index]}


def evaluated(tmp_path, module, **settings):
    batches = DataLoader(torch.arange(float(len(NAMES))), batch_size=2)
    trainer(tmp_path, [FiniteLogits(NAMES)], **settings).test(module, batches, verbose=False)


def test_the_first_sample_is_named_with_the_cause(tmp_path):
    evaluated(tmp_path, Given([True] * 6))
    module = Given([True, True, True, False, True, False])
    with pytest.raises(TrainingError, match=r"logits of frame 3 are not finite.*check that image"):
        evaluated(tmp_path, module)
    with pytest.raises(TrainingError, match=r"trainer\.precision=bf16-mixed: type trainer\.precision=32-true"):
        evaluated(tmp_path, module, precision="bf16-mixed")
    nn.init.constant_(module.layer.bias, torch.nan)
    with pytest.raises(TrainingError, match=r"1 of 2 tensors of its weights are not finite, such as layer\.bias"):
        evaluated(tmp_path, module)


@pytest.mark.parametrize("batches", [BATCHES_BETWEEN_CHECKS, 3])
def test_an_accelerator_is_not_waited_for_at_each_batch(batches, tmp_path):
    """On another device the first bad batch is reported at the 50th, or at the end of the epoch."""
    run, module = trainer(tmp_path, []), type("", (), {"device": torch.device("cuda"), "state_dict": dict})()
    callback, bad = FiniteLogits(NAMES), {"index": torch.tensor([4]), "finite": torch.tensor([False])}
    callback.on_test_batch_end(run, module, bad)
    for _ in range(batches - 2):
        callback.on_test_batch_end(run, module, {"index": torch.tensor([0]), "finite": torch.tensor([True])})
    last = partial(callback.on_test_batch_end, run, module, bad)
    with pytest.raises(TrainingError, match="frame 4"):
        (last if batches == BATCHES_BETWEEN_CHECKS else partial(callback.on_test_epoch_end, run, module))()
    callback.on_test_epoch_end(run, module)  # reported once
