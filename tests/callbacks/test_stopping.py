import os
import signal

import pytest

from callbacks.errors import RunStopped
from callbacks.stopping import StopSignal
from tests.callbacks.tiny import Line, loader, trainer


def test_outside_training_it_stops_at_once_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal().listening(), pytest.raises(RunStopped):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_while_training_the_first_only_sets_a_flag(tmp_path, capsys):
    class Loud(StopSignal):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                os.kill(os.getpid(), signal.SIGUSR1)

    heard = Loud()
    run = trainer(tmp_path, [heard], epochs=1)
    with heard.listening():
        run.fit(Line(), loader(), loader())
    assert (heard.number, run.global_step) == (signal.SIGUSR1, 4)
    assert "SIGUSR1: stopping after this step" in capsys.readouterr().err
