"""From the claim of a folder to its last word: status.json is true at every moment, also after an exception."""

import contextlib
from collections.abc import Iterator

from callbacks.signals import StopSignal
from entry.errors import RunStopped, exit_code
from run_folder import Status


@contextlib.contextmanager
def session(status: Status) -> Iterator[StopSignal]:
    """Run something under a status file, answering signals.

    Args:
        status: says ``running`` inside, and how it ended afterwards.

    Yields:
        The callback that hears signals while a run trains.
    """
    signal = StopSignal()
    status.start()
    state, code, message = "finished", 0, None
    try:
        with signal.listening():
            yield signal
    except BaseException as error:
        state, code = "stopped" if isinstance(error, RunStopped) else "failed", exit_code(error)
        message = str(error) if state == "stopped" else f"{type(error).__name__}: {error}"
        raise
    finally:
        status.finish(state, code, message)
