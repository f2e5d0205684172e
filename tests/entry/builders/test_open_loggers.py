import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from entry.builders import loggers, open_loggers, wandb_logger
from run_files import read_json
from run_folder import RunFolder, write_json
from tests.entry.builders.test_loggers import settings_with
from tests.entry.builders.wandb_server import serving

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


FAULTY = """
import json, logging, sys, time, urllib.request
from pathlib import Path
from entry.builders import loggers, open_loggers
from run_folder import RunFolder, write_json
from tests.entry.builders.test_loggers import settings_with

logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
folder, settings, stall = RunFolder(Path(sys.argv[1])), settings_with("wandb"), sys.argv[2:]
write_json(folder.environment, loggers.description(settings))
began = time.monotonic()
with open_loggers.opened(settings, folder) as found:
    opened = time.monotonic()
    found[0].log_metrics({"loss": 1.0})
    if stall:
        time.sleep(1)
        urllib.request.urlopen(stall[0] + "/stall").read()
    worst = 0.0
    for step in range(500):
        before = time.monotonic()
        found[0].log_metrics({"loss": 1.0}, step)
        worst = max(worst, time.monotonic() - before)
    trained = time.monotonic()
print(json.dumps({"opened": opened - began, "worst": worst, "closed": time.monotonic() - trained}))
print(time.monotonic())
"""


def train(folder, address, *stall, wrapped=()):
    """Record with wandb online: what it took, the lines that were printed, and the seconds from the end to that of the process."""
    folder.mkdir(exist_ok=True)
    answer = subprocess.run(
        [*wrapped, sys.executable, "-c", FAULTY, str(folder), *stall],
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"},
             "WANDB_MODE": "online", "WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40,
             "WANDB_INIT_TIMEOUT": "5", "WANDB_FINISH_TIMEOUT": "3"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    *lines, facts, end = answer.stdout.splitlines()
    warnings = [line for line in answer.stderr.splitlines() if not line.startswith(("waiting for", "while retrying"))]
    return json.loads(facts), lines, warnings, time.monotonic() - float(end)


def unused():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{place.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no answer", "wrong key", "nobody there"])
def test_what_cannot_be_sent_is_recorded_offline_with_one_warning(tmp_path, fault):
    with serving(401 if fault == "wrong key" else None) as server:
        took, [line], [warning], leaving = train(
            tmp_path / "run", unused() if fault == "nobody there" else server.address
        )
    assert warning.startswith("entry.builders.open_loggers: The logger wandb records offline, to be sent later: ")
    identity = read_json(tmp_path / "run/environment.json")["logger"]["id"]
    pieces = f"{tmp_path}/run/wandb/offline-run-*-{identity}"
    assert line == f"wandb: recorded offline; to send it: wandb sync --id {identity} {pieces}"
    [record] = (tmp_path / "run/wandb").glob(f"offline-run-*-{identity}/*.wandb")
    assert record.stat().st_size > 5000  # the 500 steps
    assert took["worst"] < 1
    assert leaving < 30


@pytest.mark.slow
def test_a_network_that_stalls_delays_no_step_and_the_end_within_limits(tmp_path):
    with serving() as server:
        took, [line], [warning], leaving = train(tmp_path / "run", server.address, server.address)
    assert warning.endswith("the run folder has everything: Timed out finishing run.")
    assert line.startswith(f"wandb: to send what it has on disk: wandb sync {tmp_path}/run/wandb/run-")
    assert next(Path(line.split()[-1]).glob("*.wandb")).stat().st_size > 5000
    assert took["worst"] < 1
    assert took["closed"] < 3 + open_loggers.CLOSING_SECONDS + 1
    assert leaving < 10


def test_the_limits_are_those_that_are_promised(monkeypatch):
    monkeypatch.delenv("WANDB_FINISH_TIMEOUT", raising=False)
    assert wandb_logger.finish_timeout() + open_loggers.CLOSING_SECONDS <= 30
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "600")
    assert wandb_logger.finish_timeout() == 600


@pytest.mark.slow
def test_a_full_disk_of_wandbs_costs_its_record_only(tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    (tmp_path / "run").mkdir()
    own = tmp_path / "run" / "wandb"
    own.mkdir()
    mounted = f'mount -t tmpfs -o size=40k none {own} && exec "$@"'
    with serving() as server:
        took, _, warnings, leaving = train(
            tmp_path / "run", server.address, wrapped=["unshare", "-rm", "bash", "-c", mounted, "bash"]
        )
    print(took, warnings, leaving)
    assert took["worst"] < 1
    assert took["closed"] < 3 + open_loggers.CLOSING_SECONDS + 1
    assert leaving < 10
    assert len(warnings) <= 1


FULL = """
import logging, sys
from pathlib import Path
from entry.builders import open_loggers
from run_folder import RunFolder
from tests.entry.builders.test_loggers import settings_with

logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
with open_loggers.opened(settings_with("tensorboard"), RunFolder(Path(sys.argv[1]))) as (logger,):
    for step in range(3000):
        logger.log_metrics({"loss": 1.0}, step)
        if step % 300 == 0:
            logger.save()
print("ended")
"""


@pytest.mark.slow
def test_a_full_disk_of_tensorboards_costs_its_record_only(tmp_path):
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    own = tmp_path / "run" / "tensorboard"
    own.mkdir(parents=True)
    mounted = f'mount -t tmpfs -o size=16k none {own} && exec "$@"'
    answer = subprocess.run(
        ["unshare", "-rm", "bash", "-c", mounted, "bash", sys.executable, "-c", FULL, str(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, "ended\n"), answer.stderr
    (warning,) = [line for line in answer.stderr.splitlines() if "left out from now on" in line]
    assert warning.endswith("the run folder has everything: [Errno 28] No space left on device")
    assert "Traceback" not in answer.stderr  # of TensorBoard's own thread, which printed it while Python shut down
