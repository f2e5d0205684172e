"""The same batches for any number of workers, ranks and stops; caches change nothing; wrong requests are refused."""

from types import SimpleNamespace

import albumentations
import cv2
import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules.errors import DatasetError
from datamodules.splits.sample_table import order_hash
from tests.datamodules.conftest import Toy, fit_loop


@pytest.fixture
def make(make_toy):
    return make_toy


def flip_rotate():
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.Rotate(limit=(-30, 30), border_mode=4, p=1.0),
        ]
    )


def contents(loader):
    return [(batch["index"].tolist(), batch["target"].tolist(), batch["image"].numpy().tobytes()) for batch in loader]


@pytest.mark.parametrize("cache", [True, False])
def test_batches_are_the_same_for_any_number_of_workers_and_differ_in_every_epoch(make, cache):
    modules = [make(transform=flip_rotate(), num_workers=workers, cache=cache) for workers in (0, 1, 2)]
    epochs = [[contents(module.training_dataloader(epoch)) for epoch in (0, 1, 2)] for module in modules]
    assert epochs[0] == epochs[1] == epochs[2]
    pictures = []
    for epoch in epochs[0]:
        indices = [index for batch in epoch for index in batch[0]]
        assert sorted(indices) == modules[0].indices("train")
        pixels = b"".join(batch[2] for batch in epoch)
        size = 3 * 8 * 8
        pictures.append({index: pixels[n * size : (n + 1) * size] for n, index in enumerate(indices)})
    for index in pictures[0]:
        assert len({picture[index] for picture in pictures}) == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_goes_on_at_a_batch_without_reading_the_earlier_ones(make, workers):
    module = make(transform=flip_rotate(), num_workers=workers)
    full = contents(module.training_dataloader(1))
    before = Toy.reads.value
    loader = module.training_dataloader(1, start_batch=4)
    assert contents(loader) == full[4:]
    assert Toy.reads.value - before == sum(len(indices) for indices, *_ in full[4:])
    assert len(loader) == len(full) == 6


def test_a_cache_changes_no_pixel_and_is_read_instead_of_the_files(make):
    plain, first = make(image_size=(12, 5), cache=False), make(image_size=(12, 5), cache=True)
    for part in ("train", "val", "test", "train_eval"):
        expected = contents(plain.evaluation_dataloader(part))
        assert contents(first.evaluation_dataloader(part)) == expected
        before = Toy.reads.value
        assert contents(make(image_size=(12, 5), cache=True).evaluation_dataloader(part)) == expected
        assert Toy.reads.value == before
    image = plain.evaluation_dataloader("val").dataset[next(iter(plain.evaluation_dataloader("val").batch_sampler))[0]]
    source = np.random.default_rng(int(plain.table.samples[image["index"]].name[-2:])).integers(
        0, 256, (11, 9, 3), dtype=np.uint8
    )
    shrunk = cv2.resize(source, (5, 11), interpolation=cv2.INTER_AREA)
    naive = cv2.resize(shrunk, (5, 12), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(image["image"].permute(1, 2, 0).numpy(), naive)


def test_a_changed_file_is_read_again(make, root):
    before = contents(make(cache=True).evaluation_dataloader("val"))
    name = make().table.samples[make().indices("val")[0]].name
    (root / name).write_text("12345")
    after = contents(make(cache=True).evaluation_dataloader("val"))
    assert after == contents(make(cache=False).evaluation_dataloader("val"))
    assert after != before


def test_training_may_see_another_size_than_scoring(make):
    module = make(image_size=(8, 8), eval_size=(12, 10), cache="auto")
    assert next(iter(module.training_dataloader(0)))["image"].shape[1:] == (3, 8, 8)
    for part in ("train", "train_eval", "val", "test"):
        assert next(iter(module.evaluation_dataloader(part)))["image"].shape[1:] == (3, 12, 10)


def test_train_eval_is_a_fixed_unaugmented_part_of_train(make):
    module = make(transform=flip_rotate(), seed=5)
    train = {module.table.samples[index].name for index in module.indices("train")}
    expected = sorted(train, key=lambda name: order_hash(0, name))[:6]
    assert [module.table.samples[index].name for index in module.indices("train_eval")] == sorted(expected)
    assert make(seed=6).indices("train_eval") == module.indices("train_eval")
    assert len(make(train_eval_samples=9).indices("train_eval")) == 9
    assert len(make(train_eval_samples=900).indices("train_eval")) == 42
    val, train_eval = module.val_dataloader()
    assert contents(train_eval) == contents(make().evaluation_dataloader("train_eval"))
    assert sorted(index for batch in val for index in batch["index"].tolist()) == module.indices("val")
    assert len(make(train_eval=False).val_dataloader()) == 1


def test_ranks_share_training_steps_and_deal_evaluation_batches(make):
    alone, ranks = make(), [make(), make()]
    for rank, module in enumerate(ranks):
        device = SimpleNamespace(root_device=torch.device("cpu"))
        loop = fit_loop(epoch=3)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, num_nodes=1, fit_loop=loop, strategy=device)
    for whole, first, second in zip(alone.training_dataloader(3), *(m.train_dataloader() for m in ranks), strict=True):
        counted = [batch["image"] for batch in (first, second) if batch["counted"]]
        assert torch.equal(torch.cat(counted), whole["image"])
    dealt = [list(module.test_dataloader()) for module in ranks]
    assert [len(batches) for batches in dealt] == [2, 2]
    assert [batch["counted"] for batches in dealt for batch in batches] == [True, True, True, False]
    counted = [index for batches in dealt for batch in batches if batch["counted"] for index in batch["index"].tolist()]
    assert sorted(counted) == alone.indices("test")


def test_batch_sizes_and_steps(make):
    assert make().steps_per_epoch == 6
    assert make().training_batch_sizes() == {8, 2}
    assert make().training_batch_sizes(world_size=2) == {4, 2}  # of 42 the last two stay together
    assert make(accumulate=2).training_batch_sizes() == {4, 2}
    assert make(drop_last=True).training_batch_sizes() == {8}
    assert make(drop_last=True).steps_per_epoch == 5


def test_a_last_step_with_a_sample_more_is_noted_once(make):
    module = make(batch_size=41)
    module.prepare_training()
    assert (module.steps_per_epoch, module.training_batch_sizes()) == (1, {42})
    assert module.notes.count("The last step of each epoch has 42 samples: one more than data.batch_size=41, as one would be left over.") == 1  # fmt: skip
    assert not any("The last step" in note for note in make().notes)
    assert make(batch_size=41, drop_last=True).training_batch_sizes() == {41}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"accumulate": 3}, r"data\.batch_size=8 must divide by devices × accumulation = 1 × 3; .*: 6 and 9\."),
        ({"accumulate": 9}, r"the nearest that does: 9\."),
        ({"batch_size": 43, "drop_last": True}, r"data\.drop_last=true leaves no batch: 42 training samples"),
    ],
)
def test_steps_that_cannot_be_dealt_are_refused(make, keys, message):
    with pytest.raises(DatasetError, match=message):
        make(**keys)


class Watcher(LightningModule):
    """Notes the samples of each epoch; learns nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = {}
        self.tested = []

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).append(batch["index"].tolist())
        return self.weight * 1.0

    def validation_step(self, batch, _, dataloader_idx):
        pass

    def test_step(self, batch, batch_idx):
        self.tested += batch["index"].tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def make_trainer(tmp_path):
    def make(**settings):
        return Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=tmp_path,
            **settings,
        )

    return make


def test_each_epoch_has_its_own_order(make, make_trainer):
    module, watcher, trainer = make(), Watcher(), make_trainer()
    trainer.fit(watcher, datamodule=module)
    for epoch in range(3):
        assert watcher.seen[epoch] == [batch["index"].tolist() for batch in make().training_dataloader(epoch)]
    assert len({tuple(map(tuple, seen)) for seen in watcher.seen.values()}) == 3
    trainer.test(watcher, datamodule=make(test_split="val"), verbose=False)
    assert watcher.tested == module.indices("val")


class StoppedError(Exception):
    """Ends a training within an epoch."""


class SaveAndStop(Callback):
    """Saves a checkpoint after some batches of an epoch, or at its end, and stops."""

    def __init__(self, path, epoch, batches):
        self.path, self.epoch, self.batches = path, epoch, batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx + 1) == (self.epoch, self.batches):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch and self.batches is None:
            self._stop(trainer)

    def _stop(self, trainer):
        trainer.save_checkpoint(self.path)
        raise StoppedError


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("limit", [None, 4])
@pytest.mark.parametrize(("epoch", "batches"), [(0, 2), (1, 2), (0, None), (1, None)])
def test_a_resumed_run_goes_on_with_the_next_batch(make, make_trainer, tmp_path, accumulate, limit, epoch, batches):
    settings = {"accumulate_grad_batches": accumulate, "limit_train_batches": limit}
    whole = [
        [batch["index"].tolist() for batch in make(accumulate=accumulate).training_dataloader(n)] for n in (0, 1, 2)
    ]
    whole = [batches[:limit] for batches in whole]
    saving = make_trainer(callbacks=[SaveAndStop(tmp_path / "stopped.ckpt", epoch, batches)], **settings)
    with pytest.raises(StoppedError):
        saving.fit(Watcher(), datamodule=make(accumulate=accumulate))
    watcher = Watcher()
    resumed = {"ckpt_path": tmp_path / "stopped.ckpt", "weights_only": True}
    make_trainer(**settings).fit(watcher, datamodule=make(accumulate=accumulate), **resumed)
    rest = {n: indices for n, indices in enumerate(whole) if n > epoch}
    assert watcher.seen == (rest if batches is None else {epoch: whole[epoch][batches:], **rest})


def test_decoding_at_a_part_of_the_size_has_a_cache_of_its_own_and_is_refused_where_no_file_is_a_sample(make):
    with pytest.raises(DatasetError, match=r"data\.decode=reduced: toy cuts samples out of whole images"):
        make(decode="reduced")
