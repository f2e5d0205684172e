"""The sweep file for Weights & Biases, carried out by its own agent without its server."""

import os
import queue
import re
import sys
import time
from pathlib import Path

import pytest
import yaml

from callbacks.history import columns
from entry.request import PROJECT
from run_files import read_json

SWEEP = yaml.safe_load((PROJECT / "docs" / "wandb_sweep.yaml").read_text())


def test_it_chooses_by_a_score_that_is_logged_each_epoch():
    assert SWEEP["metric"]["name"] in columns()
    assert SWEEP["metric"]["name"].startswith("val/")
    assert set(SWEEP) == {"program", "method", "metric", "early_terminate", "parameters", "command"}


@pytest.mark.slow
def test_the_agent_trains_with_what_the_sweep_chose(tmp_path, monkeypatch, image_folder):
    from wandb.wandb_agent import Agent

    monkeypatch.chdir(PROJECT)  # as documented: the program's path is relative
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # the agent sets them
        monkeypatch.setenv(name, "")
    (tmp_path / "wandb" / "sweep-abc").mkdir(parents=True)
    agent = Agent(None, queue.Queue(), sweep_id="abc")
    own = ["data=image_folder", f"data.root={image_folder}", "data.image_size=[16,16]", "trainer.max_epochs=1", "data.num_workers=0"]  # fmt: skip
    monkeypatch.setattr(
        agent, "_sweep_command", [*SWEEP["command"], *own, "report.html=false", f"hydra.run.dir={tmp_path}/run"]
    )
    chosen = {"optimizer.lr": {"value": 0.00123}, "data.batch_size": {"value": 16}, "aug": {"value": "flip_rotate"}}
    assert set(chosen) == set(SWEEP["parameters"])
    command = {"type": "run", "run_id": "r4nd0m", "program": SWEEP["program"], "args": chosen}
    answer = agent._process_command(command)  # noqa: SLF001
    assert not answer.get("exception"), answer
    process = answer["result"] or agent._run_processes["r4nd0m"]  # noqa: SLF001
    while process.poll() is None:
        time.sleep(0.2)
    assert process.poll() == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["optimizer"]["lr"], config["data"]["batch_size"], config["aug"]["name"]) == (
        0.00123,
        16,
        "flip_rotate",
    )
    assert read_json(tmp_path / "run" / "environment.json")["logger"]["id"] == "r4nd0m"
    [logged] = [path for path in (tmp_path / "wandb").iterdir() if re.fullmatch(r"offline-run-.*-r4nd0m", path.name)]
    assert next(logged.glob("run-*.wandb")).stat().st_size > 0
