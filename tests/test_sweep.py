"""Sweeps as they are typed: python train.py -m …, in processes of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from entry.request import PROJECT
from run_files import read_csv, read_json
from tests.test_train import QUICK

pytestmark = pytest.mark.slow
BOMB = """
import os, signal
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Bomb(Callback):
    def __init__(self, how):
        self.how = how

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2 and not Path(__file__).with_name("defused").exists():
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("it went wrong in the middle")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with a package of one's own, and options that use it."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "sabotage").mkdir()
    (folder / "sabotage" / "__init__.py").write_text(BOMB)
    (folder / "conf" / "callbacks").mkdir(parents=True)
    for how in ("raise", "kill"):
        text = yaml.safe_dump({"bomb": {"_target_": "sabotage.Bomb", "how": how}})
        (folder / "conf" / "callbacks" / f"{how}.yaml").write_text(text)
    return folder


def typed(place, name, *arguments):
    """Type a command: (exit code, stdout, stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(place), "XDG_CACHE_HOME": str(place / "caches")}
    command = [sys.executable, str(PROJECT / f"{name}.py"), *arguments]
    answer = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    return answer.returncode, answer.stdout, answer.stderr


def rows(sweep):
    return read_csv(sweep / "sweep.csv")


@pytest.fixture(scope="module")
def sweep(place, image_folder):
    """Twelve jobs: two go well, the others raise, are killed, produce NaN or are refused."""
    code, out, err = typed(
        place, "train", "-m", f"--config-dir={place}/conf", "data=image_folder", f"data.root={image_folder}", *QUICK,
        "optimizer.lr=1e-3,1e-2,1e30,-1", "callbacks=none,raise,kill", "allow=[sabotage]", "jobs=2", "hydra.sweep.dir=twelve",
        "checkpointing.every_n_steps=1", "early_stopping.patience=3", "data.batch_size=8",
    )  # fmt: skip
    assert code == 1, err + out
    return place / "twelve", out


def test_a_sweep_goes_on_after_jobs_that_end_badly(sweep):
    folder, out = sweep
    states = {row["overrides"].split("optimizer.lr=")[1].split()[0] + row["overrides"].split("callbacks=")[1].split()[0]: row["state"] for row in rows(folder)}  # fmt: skip
    assert sorted(states.values()).count("refused") == 3
    assert {name for name, state in states.items() if state == "refused"} == {"-1none", "-1raise", "-1kill"}
    assert {name for name, state in states.items() if state == "finished"} == {"0.001none", "0.01none"}
    assert {name for name, state in states.items() if state == "failed"} == {name for name in states if name[:2] != "-1" and ("none" not in name or "e+30" in name)}  # fmt: skip
    assert "RuntimeError: it went wrong in the middle" in out
    assert "optimizer.lr=-1" in out
    assert "must be a number above 0" in out
    assert {row["exit_code"] for row in rows(folder)} == {"0", "1", "2", "137"}
    assert {path.name for path in folder.iterdir() if path.name.isdigit()} == {row["number"] for row in rows(folder) if row["state"] != "refused"}  # fmt: skip
    assert out.strip().splitlines()[-1] == str(folder)


def test_no_job_is_evaluated_on_the_reported_split(sweep):
    folder, _ = sweep
    assert list(folder.glob("*/evaluation")) == []
    finished = [row for row in rows(folder) if row["state"] == "finished"]
    for row in finished:
        history = read_csv(folder / row["folder"] / "history.csv")
        assert float(row["val/f1_macro"]) == max(float(each["val/f1_macro"]) for each in history)
        assert int(row["epochs"]) == len(history)


def test_resumed_with_retries_what_failed_runs_again_and_what_finished_does_not(sweep, place):
    folder, _ = sweep
    before = {
        row["number"]: (folder / row["folder"] / "status.json").read_bytes()
        for row in rows(folder)
        if row["state"] == "finished"
    }
    (place / "sabotage" / "defused").touch()
    # What may be executed is not read from a folder: it is typed again.
    code, out, err = typed(place, "train", "-m", "sweep.resume=twelve", "retries=1", "allow=[sabotage]")
    assert code == 1, err + out  # the three with lr=1e30
    states = [row["state"] for row in rows(folder)]
    assert (states.count("finished"), states.count("failed"), states.count("refused")) == (6, 3, 3)
    assert {number: (folder / number / "status.json").read_bytes() for number in before} == before
    resumed = next(row for row in rows(folder) if "callbacks=kill" in row["overrides"] and row["state"] == "finished")
    assert "resuming" in (folder / "logs" / f"{resumed['number']}.log").read_text()


def test_the_winner_is_scored_once_and_can_be_trained_again(sweep, place):
    folder, _ = sweep
    code, out, err = typed(place, "evaluate", "sweep=twelve", "report.html=false")
    assert code == 0, err
    best = max((row for row in rows(folder) if row["state"] == "finished"), key=lambda row: float(row["val/f1_macro"]))
    winner = read_json(folder / "winner.json")
    assert winner["value"] == pytest.approx(float(best["val/f1_macro"]))
    [scored] = folder.glob("*/evaluation")
    before = (scored / "test" / "scores.json").read_bytes()
    code, out, err = typed(place, "evaluate", "sweep=twelve", "report.html=false")
    assert "it is not scored again" in out
    assert (scored / "test" / "scores.json").read_bytes() == before
    # The experiment of the best job is its settings, and so its training.
    number = re.search(r"# Job (\d+):", (folder / "experiment" / "best.yaml").read_text())[1]
    code, out, err = typed(place, "train", f"--config-dir={folder}", "experiment=best", "report.html=false", "hydra.run.dir=again", "allow=[sabotage]")  # fmt: skip
    assert code == 0, err
    curves = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_csv(run / "history.csv")]
        for run in (folder / number, place / "again")
    ]
    assert curves[0] == curves[1]
    assert (place / "again" / "evaluation" / "test" / "scores.json").exists()


def test_several_ranks_in_each_job_of_a_sweep(place, image_folder):
    code, out, err = typed(
        place, "train", "-m", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer=ddp_cpu", "trainer.devices=2",
        "seed=3,4", "logger=wandb", "trainer.max_epochs=1", "hydra.sweep.dir=ranks", "jobs=2",
    )  # fmt: skip
    assert code == 0, err + out
    folder = place / "ranks"
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["0", "1"]
    for number, seed in ((0, 3), (1, 4)):
        run = folder / str(number)
        assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == seed
        assert read_json(run / "environment.json")["devices"] == 2
        [logged] = run.glob("wandb/offline-run-*")
        assert yaml.safe_load((run / "config.yaml").read_text())["logger"]["group"].endswith("/ranks")
        assert logged.name.endswith(read_json(run / "environment.json")["logger"]["id"])


def test_what_is_refused_altogether_leaves_nothing(place):
    code, out, _ = typed(place, "train", "-m", "seed=1,2", "optimizer.lr=-1", "hydra.sweep.dir=none/of/it")
    assert code == 2
    assert "must be a number above 0" in out
    assert not (place / "none").exists()


def test_a_folder_with_a_sweep_takes_no_other(sweep, place):
    code, _, err = typed(place, "train", "-m", "seed=1,2", "hydra.sweep.dir=twelve")
    assert code == 2
    assert "already holds a sweep. Choose another folder, or go on with it: sweep.resume=" in err


def test_what_is_typed_is_kept_without_what_may_be_executed(sweep, place):
    kept = json.loads((sweep[0] / "sweep.json").read_text())["arguments"]
    assert f"--config-dir={place}/conf" in kept
    assert not any("allow" in each for each in kept)
    assert Path(kept[0].split("=")[1]).is_dir()
