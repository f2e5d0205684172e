import os
import signal

import pytest
from lightning.pytorch.callbacks import Callback

from callbacks.errors import RunStopped
from callbacks.stopping import StopAtStep
from tests.callbacks.tiny import Line, loader, trainer


class SendSignal(Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, number, at_step, times=1):
        self.number, self.at_step, self.times = number, at_step, times
        self.steps_done = 0

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.at_step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_train_batch_end(self, trainer, *_):
        self.steps_done = trainer.global_step


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_after_the_running_step(tmp_path, number):
    stopper, sender = StopAtStep(), SendSignal(number, at_step=5)
    with stopper.listening(), pytest.raises(RunStopped) as stop:
        trainer(tmp_path, [sender, stopper]).fit(Line(), loader(), loader())
    assert stop.value.number == number
    assert sender.steps_done == 6


def test_a_second_signal_does_not_wait(tmp_path):
    stopper, sender = StopAtStep(), SendSignal(signal.SIGINT, at_step=5, times=2)
    with stopper.listening(), pytest.raises(RunStopped):
        trainer(tmp_path, [sender, stopper]).fit(Line(), loader(), loader())
    assert sender.steps_done == 5


def test_outside_training_it_stops_at_once_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopAtStep().listening(), pytest.raises(RunStopped):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
