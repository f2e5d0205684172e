"""How a run ends early without having failed."""

import signal


class RunStopped(BaseException):
    """The run was asked to stop by a signal and did, at a place where nothing is lost.

    Not an Exception: no clean-up that catches errors may swallow it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
