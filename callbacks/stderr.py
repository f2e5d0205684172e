"""Saying something to a person who may have gone."""

import contextlib
import sys


def tell(text: str) -> None:
    """Print a line on stderr, where somebody still reads it.

    Ctrl-C reaches all of ``train.py 2>&1 | tee log``: what the reader's end breaks must not break the run's.
    """
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: a signal's handler, in the middle of another line
        print(text, file=sys.stderr, flush=True)
