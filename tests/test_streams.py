"""A line to stderr is printed at once; closed pipes, full disks and encodings do not end the run; a wait is reported."""

import io
import os
import subprocess
import sys
import time

import pytest

from streams import guarded_streams, print_to_stderr, waiting
from tests.chaos.harness import ROOT


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


def program(text: str, shell: str = "{}", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose output is guarded, in a shell's redirections; its exit code is 3 unless something breaks."""
    body = "import sys; from streams import guarded_streams\nwith guarded_streams() as out:\n " + text + "\nsys.exit(3)"
    typed = f"{sys.executable} -c '{body}'"
    return subprocess.run(
        ["bash", "-c", shell.format(typed)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


LINES = 'for i in range(20000): print("line", i)\n print("at the end", file=sys.stderr)'


@pytest.mark.parametrize(
    "shell",
    ["{} | head -1; exit ${{PIPESTATUS[0]}}", "{} >/dev/full", "{} >&-", "{} 2>&- >/dev/null", "{} <&- >&- 2>&-"],
)
def test_output_that_cannot_be_written_is_dropped(shell: str) -> None:
    answer = program(LINES, shell)
    assert answer.returncode == 3
    assert answer.stderr == (b"" if "2>&-" in shell else b"at the end\n")


def test_a_file_that_is_opened_later_does_not_take_the_place_of_a_closed_output() -> None:
    answer = program("import os; file = open(os.devnull); print(file.fileno() > 2, file=sys.stderr)", "{} >&-")
    assert answer.stderr == b"True\n"


def test_what_was_lost_is_known() -> None:
    text = 'print("/a/folder", flush=True); print(out.lost, out.last_line, file=sys.stderr)'
    assert program(text).stderr == b"False /a/folder\n"
    assert program(text, "{} >/dev/full").stderr == b"True /a/folder\n"


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"24x32 ... - \\xe9\n"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"24x32 ... - \\xe9\n"),
        ({"PYTHONIOENCODING": "latin-1"}, b"24\xd732 ... - \xe9\n"),
        ({"PYTHONIOENCODING": "utf-8"}, "24×32 … – é\n".encode()),
    ],
)
def test_letters_that_the_encoding_lacks_are_replaced(environment: dict[str, str], printed: bytes) -> None:
    answer = program(r'print("24\u00d732 \u2026 \u2013 \u00e9")', **environment)
    assert (answer.returncode, answer.stdout) == (3, printed)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_file_name_that_is_not_utf8_is_printed_byte_by_byte(encoding: str) -> None:
    answer = program(r'print("/data/r\udce9")', PYTHONIOENCODING=encoding)
    assert (answer.returncode, answer.stdout) == (3, b"/data/r\xe9\n")


def test_the_streams_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with guarded_streams():
        print("×")
    assert (sys.stdout, stream.errors) == (stream, "strict")


def test_a_short_wait_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("the lock", first=5):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_a_long_wait_is_reported_and_one_that_is_over_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("the lock", first=0.2) as waits:
        waits(False)
        time.sleep(0.5)
        for _ in range(6):
            waits(True)
            time.sleep(0.05)
        assert capsys.readouterr().err == ""
        time.sleep(0.5)
    assert capsys.readouterr().err == "waiting for the lock (0 s)\n"
