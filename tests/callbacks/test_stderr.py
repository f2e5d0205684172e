"""A line to stderr is printed at once, and a closed pipe does not end the run."""

import os
import sys

import pytest

from callbacks.stderr import print_to_stderr


def test_the_line_is_on_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_to_stderr("stopping after this step")
    assert capsys.readouterr() == ("", "stopping after this step\n")


def test_a_pipe_whose_reader_is_gone_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(BrokenPipeError):  # what an unguarded print meets
        print("unguarded", file=sys.stderr, flush=True)
    print_to_stderr("after the reader has gone")
    with pytest.raises(BrokenPipeError):  # its buffer cannot be flushed either
        stream.close()


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise TypeError(text)

    monkeypatch.setattr(sys, "stderr", Broken())
    with pytest.raises(TypeError, match="a line"):
        print_to_stderr("a line")
