"""Which callbacks, limits, strategy and plugins a Trainer has, worked out from the settings."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from callbacks.checkpoints import Checkpoints
from callbacks.early_stopping import EarlyStopping
from callbacks.ema import AveragedWeights
from callbacks.finite_checks import FiniteLoss
from callbacks.finite_logits import FiniteLogits
from callbacks.history import EpochLines, HistoryWriter, TimingWriter
from callbacks.out_of_memory import OutOfMemory
from callbacks.pruning import Pruning
from callbacks.signals import StopSignal
from callbacks.step_seed import StepSeed
from entry.builders.trainer import build_trainer
from entry.config.resolve import resolved
from entry.hardware import Hardware
from lightning_modules.checkpoint_io import CheckpointFiles
from run_folder import SWEEP, RunFolder, write_json
from settings.training import CheckpointingSettings
from tests.entry.config.test_resolve import request

TRAINING = (EpochLines, StepSeed, FiniteLoss, StopSignal, HistoryWriter, TimingWriter, OutOfMemory, Checkpoints)


@pytest.fixture
def build(tmp_path):
    """A Trainer for typed keys, and as the others are passed on."""
    threads = torch.get_num_threads()

    def call(*typed, devices=1, folder=tmp_path, **others) -> lightning.Trainer:
        settings = resolved(request(tmp_path, "trainer.progress=false", *typed))
        hardware = Hardware("cpu", "a processor", "32-true", 1, devices)
        return build_trainer(settings, hardware, RunFolder(folder), headline="f1_macro", **others)

    yield call
    torch.set_num_threads(threads)


def kinds(trainer):
    return tuple(type(callback) for callback in trainer.callbacks)


def only(trainer, kind):
    [found] = [callback for callback in trainer.callbacks if isinstance(callback, kind)]
    return found


@pytest.mark.parametrize(
    ("sweep", "pruner", "name", "pruned"),
    [
        (True, "median", "3", True), (True, None, "3", False), (True, "median", "by_hand", False),
        (True, "no search", "3", False), (False, "median", "3", False),
    ],
)  # fmt: skip
def test_only_the_trials_of_a_search_with_a_pruner_are_pruned(build, tmp_path, sweep, pruner, name, pruned):
    if sweep:
        write_json(tmp_path / SWEEP, {})
    if pruner != "no search":
        write_json(
            tmp_path / "search.json", {"storage": None, "study": "s", "pruner": pruner, "objectives": ["headline"]}
        )
    trainer = build(signal=StopSignal(), folder=tmp_path / name)
    assert kinds(trainer) == (*TRAINING, *([Pruning] if pruned else []))
    if pruned:  # after the epoch's state was saved
        found = only(trainer, Pruning)
        assert (found.sweep, found.number, found.monitor) == (tmp_path, 3, "val/f1_macro")


def test_a_training_has_its_callbacks_in_order_and_writes_checkpoints(build, tmp_path):
    signal = StopSignal()
    trainer = build("seed=7", "checkpointing.every_n_steps=3", "checkpointing.every_minutes=null", "checkpointing.keep=2", signal=signal)  # fmt: skip
    assert kinds(trainer) == TRAINING
    assert only(trainer, StopSignal) is signal
    assert only(trainer, HistoryWriter).path == tmp_path / "history.csv"
    assert only(trainer, TimingWriter).path == tmp_path / "timing.csv"
    checkpoints = only(trainer, Checkpoints)
    assert (checkpoints.writer.folder, checkpoints.monitor) == (tmp_path / "checkpoints", "val/f1_macro")
    assert checkpoints.settings == CheckpointingSettings(every_n_steps=3, every_minutes=None, keep=2)
    assert checkpoints.signal is signal


def test_without_a_signal_nothing_is_trained_and_nothing_is_written(build):
    extra = FiniteLogits(["a"])
    trainer = build("ema.decay=0.9", "early_stopping.patience=1", callbacks=[extra])
    assert kinds(trainer) == (FiniteLogits, OutOfMemory)
    assert trainer.checkpoint_callbacks == []


@pytest.mark.parametrize(
    ("typed", "kind", "facts"),
    [
        (["ema.decay=0.9"], AveragedWeights, {"decay": 0.9}),
        (["early_stopping.patience=4", "early_stopping.min_delta=0.5"], EarlyStopping, {"monitor": "val/loss", "patience": 4, "min_delta": -0.5}),
        (["callbacks=model_summary"], ModelSummary, {}),
    ],
)  # fmt: skip
def test_further_callbacks_follow_from_their_keys(build, typed, kind, facts):
    trainer = build(*typed, signal=StopSignal())
    assert {*kinds(trainer)} == {*TRAINING, kind}
    found = only(trainer, kind)
    assert {name: getattr(found, name) for name in facts} == facts


def test_lengths_and_gradients_are_those_of_the_settings(build):
    trainer = build("trainer.max_epochs=4", "trainer.limit_batches=5", "trainer.accumulate=2", "data.batch_size=8", "trainer.gradient_clip=0.5")  # fmt: skip
    assert trainer.max_epochs == 4
    assert (trainer.limit_train_batches, trainer.limit_val_batches, trainer.limit_test_batches) == (5, 5, 5)
    assert (trainer.accumulate_grad_batches, trainer.gradient_clip_val) == (2, 0.5)
    assert (trainer.num_sanity_val_steps, trainer.reload_dataloaders_every_n_epochs) == (0, 1)
    assert build().limit_train_batches == 1.0  # all
    assert torch.get_num_threads() == 1


def test_one_process_has_no_strategy_of_several(build, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")  # a job of a cluster: Lightning would take this process for one of four
    trainer = build()
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    assert isinstance(trainer.strategy.checkpoint_io, CheckpointFiles)
    assert trainer.world_size == 1


def test_several_processes_average_their_gradients_over_gloo(build, monkeypatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "GROUP_RANK": "0"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    strategy = build("trainer.find_unused_parameters=true", devices=2).strategy
    assert isinstance(strategy, DDPStrategy)
    assert strategy.process_group_backend == "gloo"
    assert isinstance(strategy.checkpoint_io, CheckpointFiles)
