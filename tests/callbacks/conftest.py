import signal

import pytest

from callbacks.errors import SIGNALS


@pytest.fixture
def handlers():
    """The process's own handlers, given back to the tests that follow."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)
