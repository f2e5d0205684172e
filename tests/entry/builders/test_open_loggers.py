import os
import subprocess
import sys
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from entry.builders import loggers, open_loggers, wandb_logger
from run_folder import RunFolder, read_json, write_json
from tests.entry.builders.test_loggers import settings_with

ROOT = Path(__file__).resolve().parents[3]


def test_all_of_them_are_opened_and_write_into_the_folder(tmp_path):
    folder, settings = RunFolder(tmp_path), settings_with("csv", "wandb", "tensorboard")
    write_json(folder.environment, loggers.description(settings))
    with open_loggers.opened(settings, folder) as found:
        assert [type(each) for each in found] == [WandbLogger, TensorBoardLogger]
        for logger in found:
            logger.log_metrics({"loss": 1.0})
    [run] = (tmp_path / "wandb").glob("offline-run-*")
    assert run.name.endswith(read_json(folder.environment)["loggers"][1]["id"])
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, caplog):
    folder, settings = RunFolder(tmp_path), settings_with("wandb", "tensorboard")
    write_json(folder.environment, loggers.description(settings))

    def fail(*_, **__):
        raise OSError("no disk")

    monkeypatch.setattr(wandb_logger, "WandbLogger", fail)
    with open_loggers.opened(settings, folder) as found:
        assert [type(each) for each in found] == [TensorBoardLogger]
    assert "The logger wandb cannot be used" in caplog.text


KILLED = """
import logging, sys, time
from pathlib import Path
import psutil
from entry.builders import loggers, open_loggers
from run_folder import RunFolder, write_json
from tests.entry.builders.test_loggers import settings_with

logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
folder, settings = RunFolder(Path(sys.argv[1])), settings_with("wandb", "tensorboard")
write_json(folder.environment, loggers.description(settings))
with open_loggers.opened(settings, folder) as found:
    for service in psutil.Process().children(recursive=True):
        service.kill()
        service.wait(10)
    for _ in range(30):  # its socket notices a moment later
        time.sleep(0.1)
        for logger in found:
            logger.log_metrics({"loss": 1.0})
    print("trained on")
"""


def test_one_whose_process_is_killed_is_left_out_with_one_warning(tmp_path):
    """In a process of its own, as wandb's serves all later runs of a process, and those that inherit its address."""
    answer = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (answer.returncode, answer.stdout.splitlines()[:1]) == (0, ["trained on"]), answer.stderr
    assert answer.stderr.count("The logger wandb fails and is left out from now on, the run folder has everything") == 1
    assert list((tmp_path / "tensorboard").glob("events.*"))
