"""Standard output and error that must not break a run, and lines about what is waited for."""

import codecs
import contextlib
import io
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

FIRST_LINE_SECONDS = 10.0  # of waiting, before it is reported
NEXT_LINE_SECONDS = 60.0
POLL_SECONDS = 1.0
ENCODING_ERRORS = "substitute"
SUBSTITUTES = {"×": "x", "…": "...", "–": "-", "’": "'", "·": "-", "²": "^2"}  # where an encoding lacks them


def print_to_stderr(text: str) -> None:
    """Print a line to stderr, ignoring a closed pipe: Ctrl-C also ends ``tee`` in ``train.py 2>&1 | tee log``."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: from a signal handler, within another print
        print(text, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """A line with control characters escaped: a name with one would begin a line of its own, or change the terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@contextlib.contextmanager
def waiting(what: str, first: float = FIRST_LINE_SECONDS) -> Iterator[Callable[[bool], None]]:
    """Report on stderr what is waited for, after `first` seconds and then every minute, until the block ends.

    Yields a function for a block that waits many times: called with False when a wait is over, with True when one begins.
    """
    over, state = threading.Event(), {"since": time.monotonic(), "due": first}

    def report() -> None:
        while not over.wait(min(first, POLL_SECONDS)):
            waited = time.monotonic() - state["since"]
            if waited >= state["due"]:
                print_to_stderr(f"waiting for {what} ({waited:.0f} s)")
                state["due"] += NEXT_LINE_SECONDS

    def waits(begins: bool) -> None:
        state.update(since=time.monotonic(), due=first if begins else math.inf)

    threading.Thread(target=report, name="waiting", daemon=True).start()
    try:
        yield waits
    finally:
        over.set()


class Stream:
    """A text stream that is written to as long as that is possible; what is written afterwards is dropped.

    Its reader may go away, as ``head`` does, its disk be full, its terminal be closed, and its encoding lack letters.
    `lost`: whether nothing can be written to it from the beginning.
    """

    def __init__(self, stream: TextIO, *, lost: bool = False) -> None:
        self.lost = lost
        self.last_line = ""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        self.last_line = next((line for line in reversed(text.splitlines()) if line.strip()), self.last_line)
        self._unless_lost(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        self._unless_lost(self._stream.flush)

    def _unless_lost(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except OSError:
            self.lost = True
            # At its end Python would flush once more, complain, and exit with a code of its own.
            with contextlib.suppress(OSError):
                descriptor = os.open(os.devnull, os.O_WRONLY)
                os.dup2(descriptor, self._stream.fileno())
                os.close(descriptor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded_streams() -> Iterator[Stream]:
    """Inside the block, standard output and error are `Stream`s; yields that of the output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed, as by >&-: the next file that is opened would take its place
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        out, err = (_guarded(stream, stack) for stream in before)
        sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
        try:
            yield out
            out.flush()
            err.flush()
        finally:
            sys.stdout, sys.stderr = before


def _guarded(stream: TextIO | None, stack: contextlib.ExitStack) -> Stream:
    """A stream, which Python leaves out where a process was started without it."""
    if stream is None:
        return Stream(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8")), lost=True)
    if isinstance(stream, io.TextIOWrapper):
        stack.callback(stream.reconfigure, errors=stream.errors)
        stream.reconfigure(errors=ENCODING_ERRORS)
    return Stream(stream)


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write what an encoding lacks in letters that it has, and each byte of a file name that is not UTF-8 as it is."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter, end = error.object[error.start], error.start + 1
    if "\udc80" <= letter <= "\udcff":
        return letter.encode("ascii", "surrogateescape"), end
    return SUBSTITUTES.get(letter, letter.encode("ascii", "backslashreplace").decode("ascii")), end


codecs.register_error(ENCODING_ERRORS, _substitute)
