import subprocess
import sys

import pytest

from entry.request import PROJECT

RECORD = """
import sys
from pathlib import Path
from entry.builders import loggers
from run_folder import RunFolder, write_json
from settings.run import RunSettings, validated
from tests.settings.conftest import changed
folder = RunFolder(Path(sys.argv[1]))
settings = validated(RunSettings, changed({"logger.name": "wandb", "logger.project": "p"}))
write_json(folder.environment, {"logger": loggers.description(settings)})
with loggers.opened(settings, folder) as logger:
    logger.log_metrics({"loss": 1.0})
"""


@pytest.mark.slow
def test_without_a_home_the_logger_prints_nothing_of_its_own(tmp_path):
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RECORD, str(tmp_path / "run")],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "WANDB_MODE": "offline"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
