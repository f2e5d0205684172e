"""The error with which a run ends early without having failed."""

import signal


class RunStopped(BaseException):
    """A signal stopped the run. Not an Exception: code that catches errors must not swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
