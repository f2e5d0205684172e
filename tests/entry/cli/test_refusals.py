"""A request that makes no sense is refused before torch is imported, which costs seconds."""

import subprocess
import sys

import pytest

from entry.request import PROJECT

# Runs a command, and reports at its end whether torch was imported.
REPORT = """
import atexit, runpy, sys
sys.argv = sys.argv[1:]
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "typed", "message"),
    [
        ("train", ["seed=-1"], "seed=-1: must be a whole number"),
        ("train", ["model=resnet19"], "there is no such option"),
        ("train", ["trainer=[1]"], "a list of trainer holds names"),
        ("train", ["data=image_folder", "data.root=absent"], "there is no such file or folder"),
        ("train", ["data=image_folder"], "data.root is missing"),
        ("train", ["data=image_folder", "model=deeplabv3_resnet50", "data.root=."], "Models that fit"),
        ("train", ["model.weights=absent.pt"], "there is no such file or folder"),
        ("train", ["resume=absent"], "there is no such folder"),
        ("evaluate", ["run=absent"], "there is no such folder"),
        (
            "evaluate",
            ["model=deeplabv3_resnet50", "model.weights=absent.pt", "data=idd", "data.root=."],
            "there is no such file or folder",
        ),
        ("evaluate", ["predictions=absent", "data=idd", "data.root=.", "optimizer.lr=1"], "makes no sense with"),
        ("predict", ["run=absent", "source=."], "there is no such folder"),
    ],
)
def test_without_torch(tmp_path, command, typed, message):
    done = subprocess.run(
        [sys.executable, "-c", REPORT, str(PROJECT / f"{command}.py"), *typed],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    assert not list(tmp_path.iterdir())
