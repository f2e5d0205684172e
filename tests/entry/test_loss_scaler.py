"""16-mixed on a CPU, with Lightning's plugin and torch's scaler: its state is part of an exact resume; a step may be skipped."""

import signal
from dataclasses import replace

import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from entry import hardware
from run_files import read_csv
from tests.chaos.harness import compare, signal_after
from tests.test_train import QUICK

OVERFLOWS = 2.0**21  # at the first step, and again after it has grown


@pytest.fixture
def begin_at(monkeypatch):
    """Train in 16-mixed on the CPU, where Lightning itself would use bf16, with a scaler that doubles every second step."""
    plain = lightning.Trainer

    def call(scale):
        def build(*, precision, plugins, **keys):
            assert precision == "16-mixed"
            scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
            return plain(plugins=[*plugins, MixedPrecision("16-mixed", "cpu", scaler)], **keys)

        monkeypatch.setattr(lightning, "Trainer", build)

    return call


@pytest.fixture
def train(run_command, tmp_path, image_folder):
    """Train for ten steps with a clipped gradient."""

    def call(folder, *more):
        data = ("data=image_folder", f"data.root={image_folder}", "data.batch_size=5")
        keys = ("trainer.precision=16-mixed", "trainer.gradient_clip=1.0", "checkpointing.every_n_steps=1")
        return run_command("train", f"hydra.run.dir={folder}", *QUICK, *data, *keys, *more)

    return call


def saved(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_the_scale_that_it_had(begin_at, train, run_command, tmp_path, monkeypatch):
    whole, stopped, forgetful = (tmp_path / name for name in ("whole", "stopped", "forgetful"))
    begin_at(OVERFLOWS)
    assert train(whole).code == 0
    for folder in (stopped, forgetful):
        with signal_after(step=7):
            assert train(folder).code == 128 + signal.SIGTERM
    assert saved(stopped)["MixedPrecision"]["scale"] < OVERFLOWS
    answer = run_command("train", f"resume={stopped}")
    assert answer.code == 0, answer.err
    assert compare(whole, stopped) == []
    assert saved(whole)["MixedPrecision"] == saved(stopped)["MixedPrecision"]
    # It matters: without the scaler's state other steps overflow, and the weights are others.
    monkeypatch.setattr(MixedPrecision, "load_state_dict", lambda *_: None)
    assert run_command("train", f"resume={forgetful}").code == 0
    assert compare(whole, forgetful) != []


def test_a_step_that_overflows_changes_no_weight_and_counts(begin_at, train, tmp_path, recwarn, monkeypatch):
    """Its loss is finite and nothing stops; steps and learning rates stay functions of the batches that were seen."""
    begin_at(2.0**60)
    plain = hardware.choose  # of a card on which trainer.precision=auto is 16-mixed
    monkeypatch.setattr(hardware, "choose", lambda trainer: replace(plain(trainer), precision="16-mixed"))
    answer = train(tmp_path / "run", "trainer.precision=auto", "scheduler=poly", "scheduler.power=1", "ema.decay=0.5")
    assert answer.code == 0, answer.err
    assert not [each for each in recwarn if "optimizer.step()" in str(each.message)]
    found = saved(tmp_path / "run")
    assert (found["global_step"], found["optimizer_states"][0]["state"]) == (10, {})
    assert found["optimizer_states"][0]["param_groups"][0]["fused"] is False  # it would be clipped while still scaled
    assert found["MixedPrecision"]["scale"] == 2.0**50
    assert [int(row["step"]) for row in read_csv(tmp_path / "run/history.csv")] == [5, 10]
    assert found["lr_schedulers"][0]["last_epoch"] == 10
