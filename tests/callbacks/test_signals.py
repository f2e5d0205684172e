import os
import signal
import subprocess
import sys

import pytest

from callbacks.errors import SIGNALS, RunStopped
from callbacks.signals import StopSignal
from streams import print_to_stderr
from tests.callbacks.tiny import Line, loader, trainer

pytestmark = pytest.mark.usefixtures("handlers")


def test_outside_training_it_stops_at_once_and_nothing_disturbs_the_end():
    with pytest.raises(RunStopped), StopSignal().listening():
        os.kill(os.getpid(), signal.SIGTERM)
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert len(SIGNALS) > 10
    child = subprocess.run(["sh", "-c", "kill -TERM $$; echo ignored"], capture_output=True, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGTERM, b"")  # what is started now does not inherit it


def test_handlers_come_back(handlers):
    with StopSignal().listening():
        assert signal.getsignal(signal.SIGTERM) != handlers[signal.SIGTERM]
    with pytest.raises(ValueError, match="bug"), StopSignal().listening():
        raise ValueError("a bug")
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


def test_a_second_signal_while_the_process_ends_changes_nothing():
    program = """
import os, signal, sys, time
from callbacks.errors import SIGNALS, RunStopped
from callbacks.signals import StopSignal
try:
    with StopSignal().listening():
        os.kill(os.getpid(), signal.SIGINT)
except RunStopped as stop:
    print("ending", flush=True)
    time.sleep(1)
    sys.exit(128 + stop.number)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_while_training_the_first_only_sets_a_flag(tmp_path, capsys):
    class Loud(StopSignal):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                os.kill(os.getpid(), signal.SIGUSR1)

    heard = Loud()
    run = trainer(tmp_path, [heard], epochs=1)
    with pytest.raises(RunStopped), heard.listening():  # at the end, as nothing here stops it earlier
        run.fit(Line(), loader(), loader())
    assert (heard.number, run.global_step) == (signal.SIGUSR1, 4)
    assert "SIGUSR1: stopping after this step" in capsys.readouterr().err


def test_an_echo_is_no_second_signal_and_another_one_is(tmp_path):
    class Loud(StopSignal):
        def on_train_batch_end(self, trainer, *_):
            for number in self.sent[trainer.global_step]:
                os.kill(os.getpid(), number)

    heard = Loud()
    heard.sent = {1: (), 2: [signal.SIGTERM] * 3, 3: [signal.SIGINT], 4: ()}
    run = trainer(tmp_path, [heard], epochs=1)
    with pytest.raises(RunStopped, match="SIGINT"), heard.listening():
        run.fit(Line(), loader(), loader())
    assert (heard.number, run.global_step) == (signal.SIGTERM, 3)


def test_one_that_comes_after_the_last_checkpoint_is_not_lost(tmp_path):
    class Late(StopSignal):
        def on_train_epoch_end(self, *_):
            os.kill(os.getpid(), signal.SIGTERM)

    heard = Late()
    with pytest.raises(RunStopped, match="SIGTERM"), heard.listening():
        trainer(tmp_path, [heard], epochs=1).fit(Line(), loader(), loader())


def test_a_forked_process_hears_nothing():
    with StopSignal().listening():
        child = os.fork()
        if child == 0:
            try:
                for number in SIGNALS:
                    os.kill(os.getpid(), number)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_nobody_has_to_listen(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", broken)
        print_to_stderr("a line")
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)


# From signal(7): those whose action is "Term", and of "Core" those that are sent from outside; not SIGKILL, which cannot be
# handled, nor SIGPIPE and SIGXFSZ, which Python ignores and turns into errors.
ENDING = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGXCPU", "SIGVTALRM",
          "SIGPROF", "SIGIO", "SIGPWR", "SIGRTMIN", "SIGRTMAX")  # fmt: skip


@pytest.mark.parametrize("name", ENDING)
def test_each_signal_that_would_end_the_process_stops_the_run(name):
    number = getattr(signal, name)
    with pytest.raises(RunStopped) as stopped, StopSignal().listening():
        os.kill(os.getpid(), number)
    assert stopped.value.number == number


def test_job_control_faults_and_pipes_are_left_alone():
    for name in ("SIGTSTP", "SIGCONT", "SIGCHLD", "SIGWINCH", "SIGPIPE", "SIGXFSZ", "SIGSEGV", "SIGABRT", "SIGBUS"):
        before = signal.getsignal(getattr(signal, name))
        with StopSignal().listening():
            assert signal.getsignal(getattr(signal, name)) == before


def test_the_limit_of_cpu_time_is_reported_each_second_and_stops_once(tmp_path):
    class Loud(StopSignal):
        def on_train_batch_end(self, trainer, *_):
            os.kill(os.getpid(), signal.SIGXCPU)

    heard = Loud(echo_seconds=0)
    with pytest.raises(RunStopped, match="SIGXCPU"), heard.listening():
        trainer(tmp_path, [heard], epochs=1).fit(Line(), loader(), loader())
    assert heard.number == signal.SIGXCPU
