"""--help: every key with its value and description, quickly, without torch, whoever reads it."""

import subprocess
import sys

import pytest

from entry.cli.help import groups
from entry.request import PROJECT
from settings.errors import group_of, keys_of
from settings.run import RunSettings


def typed(command: str, *words: str, tail: str = "") -> subprocess.CompletedProcess:
    line = " ".join([sys.executable, "-X", "importtime", str(PROJECT / f"{command}.py"), *words, tail])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_every_key_of_the_command_is_described(command):
    done = typed(command, "--help")
    assert done.returncode == 0
    described = {key: field.description for key, field in keys_of(RunSettings) if group_of(field.annotation) is None}
    for key in (
        "data.image_size",
        "trainer.max_epochs",
        "optimizer.lr",
        "report.predictions",
        "early_stopping.patience",
    ):
        line = next(line for line in done.stdout.splitlines() if line.strip().startswith(f"{key}="))
        assert described[key][:30] in line
    assert ("source=" in done.stdout) is (command == "predict")
    assert ("predictions_label_space=" in done.stdout) is (command == "evaluate")
    assert not [line for line in done.stderr.splitlines() if line.endswith("| torch")]


def test_the_values_are_those_of_the_other_arguments():
    done = typed("train", "model=resnet18", "trainer.max_epochs=7", "--help")
    assert "model.name=resnet18" in done.stdout
    assert "trainer.max_epochs=7" in done.stdout


def test_a_wrong_option_is_answered_as_ever():
    done = typed("train", "model=nonsense", "--help")
    assert done.returncode == 2
    assert "model=nonsense: there is no such option" in done.stderr


@pytest.mark.parametrize("words", ["--help", "--cfg job", "--info config"])
def test_a_reader_may_go_away(words):
    done = typed("train", words, tail="| head -n 1")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_every_group_of_conf_is_listed():
    assert groups()["optimizer"] == ["adam", "adamw", "sgd"]
    assert "common" not in groups()
