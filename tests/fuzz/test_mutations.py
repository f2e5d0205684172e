"""The cases of the fuzzing tests are the same wherever and after whatever they run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = """
import importlib, sys
from hypothesis import given, strategies as st
from tests.fuzz.mutations import profile
for name in sys.argv[1:]:
    importlib.import_module(name)
@profile(200)
@given(st.integers(), st.floats(), st.text())
def show(whole, real, text):
    print(whole, real, ascii(text))
show()
"""


def cases(*imported, **environment):
    command = [sys.executable, "-c", CASES, *imported]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "FUZZ": "", **environment}, capture_output=True, text=True, check=True
    ).stdout


def test_the_cases_do_not_depend_on_what_is_imported():
    usual = cases()
    assert len(usual.splitlines()) == 200
    assert cases("settings.run", "reports.html.render", "benchmarks.rivals") == usual
    assert cases(FUZZ="new") != usual
