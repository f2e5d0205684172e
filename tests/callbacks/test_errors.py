"""The signals that stop a run, those that are left alone, and whose handlers come back."""

import os
import signal
import subprocess
import sys

import pytest

from callbacks.errors import RunStopped, handled, signal_name

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT"])
def test_what_was_ignored_when_the_process_began_stays_ignored(name):
    """As nohup does for SIGHUP, and a shell for Ctrl-C of what it runs in the background."""
    program = f"""
import os, signal
from callbacks.errors import RunStopped, handled
def stop(number): raise RunStopped(number)
with handled(stop):
    os.kill(os.getpid(), signal.{name})
    print("alive")
"""
    ignoring = lambda: signal.signal(getattr(signal, name), signal.SIG_IGN)  # noqa: E731
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, preexec_fn=ignoring
    )
    assert (answer.returncode, answer.stdout) == (0, "alive\n"), answer.stderr


def test_a_handler_of_somebody_elses_is_left_except_for_the_usual_signals():
    def theirs(number, frame):
        pass

    for number in (signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, theirs)
    with handled(print):
        assert signal.getsignal(signal.SIGUSR2) == signal.getsignal(signal.SIGALRM) == theirs
        assert signal.getsignal(signal.SIGTERM) != theirs
    assert signal.getsignal(signal.SIGTERM) == theirs


def test_signals_without_a_name_have_their_number():
    assert (signal_name(signal.SIGTERM), signal_name(signal.SIGRTMIN + 3)) == (
        "SIGTERM",
        f"signal {signal.SIGRTMIN + 3}",
    )
    assert str(RunStopped(signal.SIGRTMIN + 3)) == f"stopped by signal {signal.SIGRTMIN + 3}"


def test_an_inner_block_gives_the_outer_ones_handler_back():
    received = []
    with handled(received.append):
        with handled(lambda number: received.append(-number)):
            os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR2)
    assert received == [-signal.SIGUSR2, signal.SIGUSR2]
