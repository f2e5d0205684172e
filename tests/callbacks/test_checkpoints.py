import os
import signal
import time

import pytest
import torch

from callbacks.checkpoint_writer import earlier
from callbacks.checkpoints import Checkpoints
from callbacks.errors import RunStopped
from callbacks.signals import ECHO_SECONDS, StopSignal
from lightning_modules.checkpoint_io import CheckpointFiles
from settings.training import CheckpointingSettings
from tests.callbacks.tiny import Feeder, Line, trainer

SCORES = "val/f1_macro"  # 0.3, 0.9, 0.5, 0.6 at the ends of the epochs of `Line`


class SendSignal(Checkpoints):
    """Sends this process signals in the middle of a training step, or in validation."""

    def __init__(self, *args, number, at_step, times=1, validating=False, **settings):
        super().__init__(*args, **settings)
        self.number, self.at_step, self.times, self.validating = number, at_step, times, validating
        self.steps_done = 0

    def _send(self):
        for again in range(self.times):
            time.sleep(ECHO_SECONDS * again)
            os.kill(os.getpid(), self.number)

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.at_step and not self.validating:
            self._send()

    def on_validation_batch_start(self, trainer, *_):
        if trainer.global_step == self.at_step and self.validating and not self.signal.number:
            self._send()

    def on_train_batch_end(self, trainer, *args):
        self.steps_done = trainer.global_step
        super().on_train_batch_end(trainer, *args)


def fit(folder, callback, epochs=4, resume_from=None):
    run = trainer(
        folder, [callback.signal, callback], epochs=epochs, plugins=[CheckpointFiles()], enable_checkpointing=True
    )
    with callback.signal.listening():
        run.fit(Line(), datamodule=Feeder(), ckpt_path=resume_from)
    return run


def read(path):
    return torch.load(path, weights_only=True)


def test_best_and_last_are_kept_and_plain(tmp_path):
    fit(tmp_path, Checkpoints(tmp_path, SCORES, StopSignal(), CheckpointingSettings()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert {p.stem: read(p)["epoch"] for p in tmp_path.iterdir()} == {"best": 1, "last": 3}


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_within_an_epoch_every_so_many_steps_and_earlier_ones_stay_as_asked(tmp_path, keep):
    class Look(Checkpoints):
        seen: list = []  # noqa: RUF012

        def write_last(self, trainer, **how):
            super().write_last(trainer, **how)
            last = read(tmp_path / "last.ckpt")
            kept = [path.name for path in earlier(tmp_path)]
            self.seen.append((last["global_step"], kept))

    Look.seen = []
    fit(tmp_path, Look(tmp_path, SCORES, StopSignal(), CheckpointingSettings(every_n_steps=3, keep=keep)), epochs=2)
    # Four steps an epoch: step 3 within the first, 6 within the second; step 4 and 8 are written at the epochs' ends.
    names = [f"last-{step:08}.ckpt" for step in (6, 4, 3)]
    assert Look.seen == [(3, []), (4, names[2:][:keep]), (6, names[1:][:keep]), (8, names[:keep])]
    assert earlier(tmp_path) == []  # the run is through


def test_by_the_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("callbacks.checkpoints.time.monotonic", lambda: now[0])

    class Slow(Checkpoints):
        steps: list = []  # noqa: RUF012

        def on_train_batch_end(self, trainer, *args):
            now[0] += 25.0
            super().on_train_batch_end(trainer, *args)

        def write_last(self, trainer, **how):
            self.steps.append(trainer.global_step)
            super().write_last(trainer, **how)

    Slow.steps = []
    fit(tmp_path, Slow(tmp_path, SCORES, StopSignal(), CheckpointingSettings(every_minutes=1)), epochs=2)
    assert Slow.steps == [3, 4, 7, 8]  # after 75 s, at the epoch's end, and so again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_after_the_running_step_with_a_checkpoint(tmp_path, number):
    callback = SendSignal(tmp_path, SCORES, StopSignal(), CheckpointingSettings(), number=number, at_step=5)
    with pytest.raises(RunStopped) as stop:
        fit(tmp_path, callback)
    assert stop.value.number == number
    assert callback.steps_done == read(tmp_path / "last.ckpt")["global_step"] == 6


@pytest.mark.parametrize("where", [{"at_step": 7}, {"at_step": 8, "validating": True}])
def test_at_an_epochs_last_step_and_in_validation_it_waits_for_the_validation(tmp_path, where):
    with pytest.raises(RunStopped):
        fit(
            tmp_path,
            SendSignal(tmp_path, SCORES, StopSignal(), CheckpointingSettings(), number=signal.SIGTERM, **where),
        )
    last = read(tmp_path / "last.ckpt")
    assert (last["global_step"], last["callbacks"]["checkpoints"]["best_score"]) == (8, pytest.approx(0.9))


def test_a_second_signal_does_not_wait(tmp_path):
    callback = SendSignal(
        tmp_path, SCORES, StopSignal(), CheckpointingSettings(), number=signal.SIGINT, at_step=5, times=2
    )
    with pytest.raises(RunStopped):
        fit(tmp_path, callback)
    assert callback.steps_done == 5
    assert read(tmp_path / "last.ckpt")["global_step"] == 4


def test_the_best_score_survives_a_stop_and_another_folder(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    fit(first, Checkpoints(first, SCORES, StopSignal(), CheckpointingSettings()), epochs=2)
    first.rename(second)
    run = fit(
        second, Checkpoints(second, SCORES, StopSignal(), CheckpointingSettings()), resume_from=second / "last.ckpt"
    )
    assert run.global_step == 16
    assert read(second / "best.ckpt")["epoch"] == 1  # 0.5 and 0.6, the scores afterwards, are lower
    assert read(second / "last.ckpt")["callbacks"]["checkpoints"]["best_score"] == pytest.approx(0.9)
