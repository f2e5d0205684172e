"""Workers that read images live on from epoch to epoch, and change nothing in what is read."""

import multiprocessing
from functools import partial

import lightning
import pytest
import torch

from datamodules.loading.mixing import MixedDataset
from settings.mixing import MixingKeys
from tests.datamodules.test_balanced_sampling import Uneven
from tests.datamodules.test_base import flip_rotate


class Reader(lightning.LightningModule):
    """Keeps what it is given, and which processes were there."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.read, self.processes = [], []

    def training_step(self, batch, _):
        self._keep("train", batch)
        return self.layer(torch.zeros(1)).sum()

    def validation_step(self, batch, _, dataloader_idx=0):
        self._keep(dataloader_idx, batch)

    def on_train_epoch_end(self):
        self.processes.append({child.pid for child in multiprocessing.active_children()})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def _keep(self, part, batch):
        self.read.append((self.current_epoch, part, batch["index"].tolist(), batch["image"].numpy().tobytes()))


def read(module, **settings):
    reader = Reader()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, use_distributed_sampler=False, reload_dataloaders_every_n_epochs=1, **settings,
    )  # fmt: skip
    trainer.fit(reader, datamodule=module)
    return reader


@pytest.mark.parametrize("limit", [None, 2])
def test_the_same_workers_read_every_epoch_and_the_same_images_as_none(make, limit):
    limits = {"limit_train_batches": limit, "limit_val_batches": limit}
    plain = read(make(transform=flip_rotate(), num_workers=0), **limits)
    kept = read(make(transform=flip_rotate(), num_workers=1), **limits)
    assert kept.read == plain.read
    assert plain.processes == [set()] * 3
    first, *later = kept.processes
    assert len(first) == 3  # one for the training, one for each validation
    assert later == [first] * 2
    assert not first & {child.pid for child in multiprocessing.active_children()}  # they end with the training
    epochs = {epoch: [images for each, part, _, images in plain.read if (each, part) == (epoch, "train")] for epoch in range(3)}  # fmt: skip
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_mixed_and_repeated_samples_are_those_of_their_epoch_in_every_worker(make_toy, sampling):
    """A worker's copy of the batches stays in the epoch in which it began."""
    mixing = partial(MixedDataset, keys=MixingKeys(mixup=0.4, cutmix=1.0))
    keys = {"kind": Uneven, "transform": flip_rotate(), "mixing": mixing, "sampling": sampling}
    data = make_toy(**keys, num_workers=0)
    plain = read(data)
    kept = read(make_toy(**keys, num_workers=1))
    assert kept.read == plain.read
    for epoch in range(3):
        seen = [place for each, part, places, _ in plain.read if (each, part) == (epoch, "train") for place in places]
        assert sorted(seen) == data.training_indices(epoch)
