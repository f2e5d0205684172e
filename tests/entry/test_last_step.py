"""A training of any number of samples goes through: a sample that is left over joins the last step, exactly and with a note."""

import json
import signal

import pytest

from run_files import read_csv
from tests.chaos.harness import Setting, compare, finish, signal_after, start
from tests.conftest import COLOURS, make_image_folder
from tests.test_train import QUICK

DATA = (*QUICK, "data=image_folder", "aug=flip_rotate")  # of the 36 pictures 25 are for training


def test_a_default_request_that_leaves_one_sample_trains_with_a_note(run_command, image_folder):
    answer = run_command("train", *DATA, f"data.root={image_folder}", "data.batch_size=24")
    assert answer.code == 0, answer.err
    note = "The last step of each epoch has 25 samples: one more than data.batch_size=24, as one would be left over."
    assert f"note: {note}" in answer.out
    assert json.loads((answer.folder / "environment.json").read_text())["notes"] == [note]
    assert [row["step"] for row in read_csv(answer.folder / "history.csv")] == ["1", "2"]
    assert len({row["train/loss"] for row in read_csv(answer.folder / "history.csv")}) == 2


@pytest.mark.parametrize("more", [(), ("trainer.accumulate=2",)], ids=["plain", "accumulated"])
def test_a_run_that_was_stopped_before_such_a_step_resumes_to_the_same_bits(run_command, image_folder, tmp_path, more):
    typed = (*DATA, f"data.root={image_folder}", "data.batch_size=8", "checkpointing.every_n_steps=1", *more)
    whole = run_command("train", *typed, f"hydra.run.dir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    assert read_csv(whole.folder / "history.csv")[-1]["step"] == "6"  # of 8, 8 and 9 samples
    with signal_after(step=5):
        stopped = run_command("train", *typed, f"hydra.run.dir={tmp_path / 'stopped'}")
    assert stopped.code == 128 + signal.SIGTERM, stopped.err
    resumed = run_command("train", f"resume={tmp_path / 'stopped'}")
    assert resumed.code == 0, resumed.err
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 12])  # of 26 the last two would be one for each rank; or with 12, after two steps
def test_two_ranks_train_where_even_shares_would_be_of_one(tmp_path, size):
    data = make_image_folder(tmp_path / "data", per_class=19, classes=dict(list(COLOURS.items())[:2]))
    run = tmp_path / "run"
    typed = [each for each in Setting(2).typed if not each.startswith("data.batch_size")]
    finish(start(f"hydra.run.dir={run}", f"data.root={data}", f"data.batch_size={size}", "data.num_workers=0", *typed))
    steps = {24: 2, 12: 3}[size]
    assert [row["step"] for row in read_csv(run / "history.csv")] == [str(steps * epoch) for epoch in (1, 2, 3)]
