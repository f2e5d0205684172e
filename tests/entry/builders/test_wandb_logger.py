import json
import signal
import subprocess
import sys
import time

import pytest
import wandb
import yaml

from entry.builders import loggers, open_loggers, wandb_logger
from entry.errors import RequestError
from entry.request import PROJECT
from run_folder import RunFolder, write_json
from settings.run import RunSettings, validated
from tests.chaos.harness import signal_after
from tests.conftest import make_image_folder
from tests.settings.conftest import changed

RECORD = """
import sys
from pathlib import Path
from entry.builders import loggers, open_loggers
from run_folder import RunFolder, write_json
from settings.run import RunSettings, validated
from tests.settings.conftest import changed
folder = RunFolder(Path(sys.argv[1]))
settings = validated(RunSettings, changed({"logger.name": "wandb", "logger.project": "p"}))
write_json(folder.environment, loggers.description(settings))
with open_loggers.opened(settings, folder) as found:
    found[0].log_metrics({"loss": 1.0})
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
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert done.stdout.startswith("wandb: recorded offline; to send it: wandb sync --id ")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))


TYPED = (
    "data=image_folder",
    "data.image_size=[24,24]",
    "data.num_workers=0",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "trainer.limit_batches=1",
)


class Stub:
    """A run of wandb's that records nothing."""

    url = None

    def __init__(self):
        self.config, self.id = self, None

    def __getattr__(self, name):
        return lambda *_, **__: None


@pytest.fixture
def begun(monkeypatch):
    """What wandb.init was called with."""
    calls = []

    def init(**keys):
        calls.append(keys)
        return Stub()

    monkeypatch.setattr(wandb, "init", init)
    return calls


@pytest.fixture
def logged(monkeypatch, begun, tmp_path):
    """Open and close the logger of a run with these variables: (what wandb was given, what environment.json has)."""

    def call(mode="online", **variables):
        for name, value in {"WANDB_MODE": mode, **variables}.items():
            monkeypatch.setenv(name, value)
        folder = RunFolder(tmp_path / "the_run")
        folder.path.mkdir(exist_ok=True)
        settings = validated(RunSettings, changed({"logger.name": "wandb", "logger.project": "p"}))
        write_json(folder.environment, loggers.description(settings))
        with open_loggers.opened(settings, folder):
            pass
        return (begun.pop() if begun else None), json.loads(folder.environment.read_text())["logger"]

    return call


def test_names_ids_and_places_of_the_environment_are_used(logged, tmp_path):
    keys, facts = logged()
    assert (keys["name"], keys["id"], keys["resume"], keys["dir"]) == (
        "the_run",
        facts["id"],
        "allow",
        str(tmp_path / "the_run"),
    )
    keys, facts = logged(
        WANDB_NAME="mine", WANDB_RUN_ID="abc", WANDB_RESUME="must", WANDB_DIR=str(tmp_path / "elsewhere")
    )
    assert (keys["name"], keys["id"], keys["resume"], keys["dir"]) == (
        "mine",
        "abc",
        "must",
        str(tmp_path / "elsewhere"),
    )
    assert facts == {"kind": "wandb", "id": "abc", "url": None}
    assert (tmp_path / "elsewhere").is_dir()
    keys, facts = logged(WANDB_RUN_ID="abc")  # a sweep's next job
    assert keys["id"] == facts["id"] != "abc"
    assert logged(WANDB_NAME="", WANDB_DIR="", WANDB_RESUME="")[0]["name"] == "the_run"


def test_the_address_of_a_run_is_written(begun, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(Stub, "url", "https://wandb.example/run")
    for names, first in ((["wandb", "csv"], "wandb"), (["csv", "wandb"], "csv")):
        folder = RunFolder(tmp_path)
        settings = validated(RunSettings, changed({"logger.name": names, "logger.project": "p"}))
        write_json(folder.environment, loggers.description(settings))
        with open_loggers.opened(settings, folder):
            pass
        facts = json.loads(folder.environment.read_text())
        urls = {each["kind"]: each["url"] for each in facts["loggers"]}
        assert urls == {"wandb": "https://wandb.example/run", "csv": None}
        assert (facts["logger"]["kind"], facts["logger"]["url"]) == (first, urls[first])


@pytest.mark.parametrize(
    ("variables", "kind"),
    [({"mode": "disabled"}, "csv"), ({"WANDB_DISABLED": "true"}, "csv"), ({"mode": "dryrun"}, "wandb"), ({"mode": "run"}, "wandb"), ({"mode": ""}, "wandb")],
)  # fmt: skip
def test_a_mode_that_disables_it_writes_nothing(logged, tmp_path, variables, kind):
    keys, facts = logged(**variables)
    assert (keys is None) == (kind == "csv")
    assert facts["kind"] == kind
    assert sorted(path.name for path in (tmp_path / "the_run").iterdir()) == ["environment.json"]


def test_a_key_in_the_environment_is_an_account(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert wandb_logger.mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_logger.mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(RequestError, match=r"WANDB_MODE=onlin: .* Choose one of: online, offline, disabled"):
        wandb_logger.mode()


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "SLURM_PROCID"])
def test_a_stray_rank_does_not_silence_the_logger(logged, monkeypatch, variable):
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)  # what Lightning makes of it when it is imported
    monkeypatch.setenv(variable, "1")
    assert logged()[0] is not None


def test_the_environment_is_in_place_of_the_default_and_what_is_typed_in_place_of_both(
    run_command, begun, monkeypatch, tmp_path
):
    """And an unknown mode is refused before there is a folder."""
    variables = {"WANDB_PROJECT": "p1", "WANDB_ENTITY": "e1", "WANDB_RUN_GROUP": "g1", "WANDB_TAGS": "t1, t2"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    root = make_image_folder(tmp_path / "pictures")
    run = run_command("train", *TYPED, f"data.root={root}", "logger.group=g2").folder
    [keys] = begun
    assert [keys[key] for key in ("project", "entity", "group", "tags")] == ["p1", "e1", "g2", ["t1", "t2"]]
    stored = yaml.safe_load((run / "config.yaml").read_text())["logger"]
    assert stored == {"name": "wandb", "project": "p1", "entity": "e1", "group": "g2", "tags": ["t1", "t2"]}
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    refused = run_command("train", *TYPED, f"data.root={root}", f"hydra.run.dir={tmp_path}/refused")
    assert (refused.code, (tmp_path / "refused").exists()) == (2, False)
    assert refused.err.startswith("WANDB_MODE=nonsense: there is no such mode")


def test_without_variables_the_default_is_as_before():
    settings = validated(RunSettings, changed({"logger.tags": None, "logger.group": "", "logger.entity": None}))
    assert (settings.logger.tags, settings.logger.group, settings.logger.entity) == ([], None, None)


def test_the_printed_line_sends_all_pieces_of_a_run_in_their_order(run_command, image_folder, tmp_path):
    """Also after a signal; the scores and the folder stay the last lines. Only the dry run needs no account."""
    typed = (
        *TYPED,
        f"data.root={image_folder}",
        f"hydra.run.dir={tmp_path / 'a run'}",
        "checkpointing.every_n_steps=1",
        "trainer.limit_batches=2",
    )
    with signal_after(step=1):
        stopped = run_command("train", *typed)
    assert stopped.code == 128 + signal.SIGTERM
    line = stopped.out.splitlines()[-1]
    time.sleep(1)  # two pieces of one second have names of another kind: the test below
    identity = json.loads((tmp_path / "a run/environment.json").read_text())["logger"]["id"]
    pieces = f"'{tmp_path}/a run/wandb'/offline-run-*-{identity}"
    assert line == f"wandb: recorded offline; to send it: wandb sync --id {identity} {pieces}"
    answer = run_command("train", "resume=a run")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines.index(line) < len(lines) - 2
    assert lines[-2].startswith("test: accuracy")
    command = line.partition("to send it: ")[2].replace("wandb sync", f"{sys.executable} -m wandb sync --dry-run")
    dry = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True, timeout=120
    )
    names = sorted(path.name for path in (tmp_path / "a run/wandb").glob("offline-run-*"))
    assert [line.split("/")[-2] for line in dry.stderr.splitlines() if line.endswith(".wandb")] == names
    assert len(names) == 2


def test_the_line_names_the_place_of_the_records(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    found = wandb_logger.sync_command(RunFolder(tmp_path), "abc")
    assert found == f"wandb sync --id abc {tmp_path}/elsewhere/wandb/offline-run-*-abc"


def test_pieces_that_began_in_one_second_are_all_sent_in_their_order(monkeypatch, tmp_path):
    """wandb numbers the second one, and the pattern of the others would leave it out."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    names = ["20260102_000000-abc", "20260102_000000-abc-1", "20260103_000000-abc"]
    for name in [*reversed(names), "20260102_000000-abcd"]:
        (tmp_path / "wandb" / f"offline-run-{name}").mkdir(parents=True)
    pieces = " ".join(f"{tmp_path}/wandb/offline-run-{name}" for name in names)
    assert wandb_logger.sync_command(RunFolder(tmp_path), "abc") == f"wandb sync --id abc {pieces}"
