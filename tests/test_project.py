"""The project's own files: what is pinned is what is asked for, and nothing names where packages come from."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def pinned() -> dict[str, str]:
    lines = [line.split(";")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "every requirement has an exact version"
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_direct_dependency_is_pinned_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = [Requirement(line) for line in (*project["dependencies"], *optional)]
    pins = pinned()
    assert [
        str(r)
        for r in asked
        if canonicalize_name(r.name) not in pins or not r.specifier.contains(pins[canonicalize_name(r.name)])
    ] == []


def test_no_file_names_a_package_index():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = {
        name: (ROOT / name).read_bytes() for name in files if not name.endswith(".png") and (ROOT / name).is_file()
    }
    assert [
        name for name, text in texts.items() if re.search(rb"--(extra-)?index-url|find-links|/simple/|\.whl", text)
    ] in ([], ["tests/test_project.py"])


def test_the_folder_of_a_passed_test_is_removed(tmp_path):
    """Thousands of runs, each with its checkpoints, otherwise fill the disk before the suites end."""
    tests = tmp_path / "test_two.py"
    tests.write_text(
        "def test_passes(tmp_path):\n    (tmp_path / 'last.ckpt').touch()\n\n\n"
        "def test_fails(tmp_path):\n    (tmp_path / 'last.ckpt').touch()\n    assert False\n"
    )
    folders = tmp_path / "folders"
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--basetemp={folders}", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tests], capture_output=True, text=True, check=False
    )
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert [path.parent.name for path in folders.rglob("last.ckpt")] == ["test_fails0"]
