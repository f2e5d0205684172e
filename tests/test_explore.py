"""The command: what makes no sense is answered before torch is imported."""

import subprocess
import sys

import pytest

from tests.test_project import ROOT


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [("--help", 0, "explore.py"), ("data.root=missing", 2, "data.root"), ("task=nothing", 2, "task=nothing")],
)
def test_an_answer_that_needs_no_torch_is_given_without_it(tmp_path, typed, code, words):
    program = (
        "import sys, explore\ntry: explore.explore()\nexcept SystemExit as end: print('torch' in sys.modules, end.code)"
    )
    typed = ["data=image_folder", typed] if "root" in typed else [typed]
    done = subprocess.run([sys.executable, "-c", program, *typed], cwd=ROOT, check=False, capture_output=True, text=True)  # fmt: skip
    *lines, last = done.stdout.splitlines()
    assert last == f"False {code}", done.stderr
    assert words in "".join(lines) + done.stderr
    assert "Traceback" not in done.stderr
