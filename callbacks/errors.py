"""The error with which a run ends early without having failed, and the signals that raise it."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

# All that end a process by default are handled, except its own faults, and what Python ignores.
_OTHERS = ("SIGTSTP", "SIGCONT", "SIGTTIN", "SIGTTOU", "SIGCHLD", "SIGURG", "SIGWINCH", "SIGINFO", "SIGPIPE", "SIGXFSZ", "SIGILL",
           "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS", "SIGEMT", "SIGKILL", "SIGSTOP")  # fmt: skip
SIGNALS = tuple(sorted(map(int, signal.valid_signals() - {getattr(signal, name, None) for name in _OTHERS})))
USUAL = ("SIGINT", "SIGTERM", "SIGUSR1")  # handled also where something else handles them


class RunStopped(BaseException):
    """A signal stopped the run. Not an Exception: code that catches errors must not swallow it."""

    state = "stopped"  # in status.json

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal_name(number)}")
        self.number, self.code = number, 128 + number


class Handler(partial[None]):
    """A handler of ours, which another one of ours may replace: `_handle` with what it calls."""


def _handle(act: Callable[[int], None], number: int, _: FrameType | None) -> None:
    act(number)


@contextlib.contextmanager
def handled(act: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """Call `act` for each signal that would end the process inside the block; yields a function that ensures it anew.

    A signal that was ignored when the process began stays ignored, as SIGHUP under nohup, and a handler of somebody
    else's is left, except for the usual signals. After a RunStopped signals change nothing: the process still has to write
    its status and to exit with the right code.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {number: earlier for number, earlier in before.items() if _replaceable(number, earlier)}
    handler = Handler(_handle, act)

    def install() -> None:
        for number in ours:
            signal.signal(number, handler)

    install()
    try:
        yield install
    except RunStopped:
        # Not SIG_IGN, which processes that are started later would inherit.
        ours = dict.fromkeys(ours, Handler(_handle, lambda _: None))
        raise
    finally:
        for number, earlier in ours.items():
            signal.signal(number, earlier)


def signal_name(number: int) -> str:
    """A signal's name, such as SIGTERM; a number for those that have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _replaceable(number: int, handler: object) -> bool:
    """Whether a signal may be handled here; None is a handler that Python has not installed."""
    if handler in (None, signal.SIG_IGN):
        return False
    free = handler in (signal.SIG_DFL, signal.default_int_handler)
    return free or isinstance(handler, Handler) or signal_name(number) in USUAL
