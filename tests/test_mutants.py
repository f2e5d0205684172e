"""The table of mutations: what it names is there, all are noticed, and one that changes nothing is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import MUTATIONS, ROOT, mutated

ENDED = 100  # an exit code beyond those of errors


def test_each_text_is_in_its_file_once_and_each_test_exists(tmp_path: Path) -> None:
    for each in MUTATIONS:
        copy = tmp_path / each.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / each.file).read_bytes())
        before = mutated(tmp_path, each)
        assert copy.read_text(encoding="utf-8") != before
        file, _, name = each.test.partition("::")
        assert name in (ROOT / file).read_text(encoding="utf-8")


def survivors(mutations: str) -> int:
    """How many mutations, as they are written in Python, are not noticed, in a process that has imported nothing of ours."""
    code = f"import sys; from tests import mutants; sys.exit({ENDED} + len(mutants.survivors({mutations})))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=1200).returncode - ENDED


@pytest.mark.slow
def test_every_mutation_is_noticed() -> None:
    assert survivors("mutants.MUTATIONS") == 0


@pytest.mark.slow
def test_a_mutation_that_changes_nothing_survives() -> None:
    assert survivors("[each._replace(replacement=each.text) for each in mutants.MUTATIONS[:1]]") == 1
