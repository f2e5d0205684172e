"""Output for the user that must not break a run."""

import contextlib
import sys


def print_to_stderr(text: str) -> None:
    """Print a line to stderr, ignoring a closed pipe: Ctrl-C also ends ``tee`` in ``train.py 2>&1 | tee log``."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: from a signal handler, within another print
        print(text, file=sys.stderr, flush=True)
