"""From the claim of a folder to its last word: status.json is true at every moment, also after an exception."""

import contextlib
from collections.abc import Callable, Iterator

from callbacks.stopping import StopAtStep
from entry.errors import REQUEST_ERRORS, RunStopped
from run_folder import Status


@contextlib.contextmanager
def session(status: Status, close: Callable[[int], None] = lambda _: None) -> Iterator[StopAtStep]:
    """Run something under a status file, answering signals.

    Args:
        status: says ``running`` inside, and how it ended afterwards.
        close: called with the exit code before the status is final: closes what must be closed.

    Yields:
        The callback that makes training stop between two steps.
    """
    stopper = StopAtStep()
    status.start()
    state, code, message = "finished", 0, None
    try:
        with stopper.listening():
            yield stopper
    except RunStopped as stop:
        state, code, message = "stopped", 128 + stop.number, str(stop)
        raise
    except BaseException as error:
        state, code = "failed", 2 if isinstance(error, REQUEST_ERRORS) else 1
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        try:
            close(code)
        finally:
            status.finish(state, code, message)
