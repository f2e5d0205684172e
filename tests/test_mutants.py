"""The table of mutations: what it names is there, all are noticed, and one that changes nothing is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import MUTATIONS, ROOT, mutated


def test_each_text_is_in_its_file_once_and_each_test_exists(tmp_path: Path) -> None:
    for each in MUTATIONS:
        copy = tmp_path / each.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / each.file).read_bytes())
        before = mutated(tmp_path, each)
        assert copy.read_text(encoding="utf-8") != before
        file, _, name = each.test.partition("::")
        assert name.partition("[")[0] in (ROOT / file).read_text(encoding="utf-8")


def in_a_process(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=1200).returncode


@pytest.mark.slow
def test_every_mutation_is_noticed() -> None:
    assert (
        in_a_process("import sys; from tests import mutants; sys.exit(len(mutants.survivors(mutants.MUTATIONS)))") == 0
    )


@pytest.mark.slow
def test_a_mutation_that_changes_nothing_survives() -> None:
    code = "import sys; from tests.mutants import *; first, *_ = MUTATIONS; sys.exit(len(survivors([first._replace(replacement=first.text)])))"
    assert in_a_process(code) == 1
