"""Resuming a run by command."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml

from callbacks.checkpoint_writer import earlier
from run_files import read_csv
from tests.chaos.harness import compare, signal_after
from tests.conftest import make_image_folder
from tests.test_segmentation import KEYS as MASKS
from tests.test_train import QUICK, files_below

# Five steps an epoch, both.
KEYS = {
    "classification": (
        *QUICK,
        "data=image_folder",
        "data.batch_size=5",
        "aug=flip_rotate",
        "model.network.dropout=0.3",
        "aug.mixup=0.2",
        "aug.cutmix=1.0",
    ),
    "segmentation": (*MASKS, "data.batch_size=3", "scheduler=poly", "aug.copy_paste=0.7"),
}
both_tasks = pytest.mark.parametrize(
    "task", ["classification", pytest.param("segmentation", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def task(request):
    return getattr(request, "param", "classification")


@pytest.fixture(scope="module")
def keys(image_folder, mask_folder):
    """By task what is typed."""
    roots = {"classification": image_folder, "segmentation": mask_folder}
    return {task: (*own, f"data.root={roots[task]}", "checkpointing.every_n_steps=1") for task, own in KEYS.items()}


@pytest.fixture
def train(run_command, tmp_path, keys, task):
    def call(name, *more):
        return run_command("train", f"hydra.run.dir={tmp_path / name}", *keys[task], *more)

    return call


@pytest.fixture(scope="module")
def made(run_shared_command, workplace, keys):
    """By task and name a run that is made once: "whole", or "stopped" by a signal in its second epoch, after step 7 of 10."""

    @functools.cache
    def of(task, name):
        folder = workplace / task / name
        with signal_after(step=7) if name == "stopped" else contextlib.nullcontext():
            answer = run_shared_command("train", f"hydra.run.dir={folder}", *keys[task])
        assert answer.code == (128 + signal.SIGTERM if name == "stopped" else 0), answer.err
        return folder

    return of


@pytest.fixture
def stopped(made, task, tmp_path):
    return Path(shutil.copytree(made(task, "stopped"), tmp_path / "stopped"))


@pytest.fixture
def whole(made, task, tmp_path):
    return Path(shutil.copytree(made(task, "whole"), tmp_path / "whole"))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def read(path):
    return torch.load(path, weights_only=True)


def flip(path, position=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * position)] ^= 1
    path.write_bytes(data)


@both_tasks
def test_a_stopped_run_resumes_to_the_same_bits_also_where_it_was_moved_to(run_command, stopped, whole, tmp_path):
    assert json.loads((stopped / "status.json").read_text())["state"] == "stopped"
    assert torch.load(stopped / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 7
    moved = tmp_path / "elsewhere"
    stopped.rename(moved)
    answer = run_command("train", f"resume={moved}", "data.num_workers=1")
    assert answer.code == 0, answer.err
    assert "Resuming after step 7, in epoch 2." in answer.out
    assert answer.folder == moved
    assert compare(whole, moved) == []
    assert json.loads((moved / "status.json").read_text())["state"] == "finished"
    assert json.loads((moved / "environment.json").read_text())["resumed"][0]["step"] == 7
    assert not (tmp_path / "runs").exists()


@both_tasks
def test_the_mirror_alone_resumes_to_the_same_bits(train, run_command, whole, tmp_path):
    """The machine is lost with its disk in the second epoch; what goes on in the mirror has no mirror of its own."""
    (tmp_path / "other_disk").mkdir()
    with signal_after(step=7):
        lost = train("lost", f"checkpointing.mirror={tmp_path / 'other_disk'}")
    assert lost.code == 128 + signal.SIGTERM, lost.err
    shutil.rmtree(tmp_path / "lost")
    mirror = tmp_path / "other_disk/lost"
    answer = run_command("train", f"resume={mirror}", "data.num_workers=1")
    assert answer.code == 0, answer.err
    assert "Resuming after step 7, in epoch 2." in answer.out
    assert answer.folder == mirror
    assert compare(whole, mirror) == []
    assert [path.name for path in (tmp_path / "other_disk").iterdir()] == ["lost"]


def test_a_mirror_that_cannot_be_written_changes_nothing_and_is_reported(train, whole, tmp_path):
    (tmp_path / "other_disk").mkdir()
    (tmp_path / "other_disk/run").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mirror.txt").write_text(f"{tmp_path}/other_disk/run")
    (tmp_path / "other_disk/run/checkpoints").write_text("a file where a folder should be")
    answer = train("run", f"checkpointing.mirror={tmp_path / 'other_disk'}")
    assert answer.code == 0, answer.err
    assert compare(whole, answer.folder) == []
    assert "cannot be written: [Errno 17] File exists" in answer.err
    assert re.search(
        r"warning: the mirror .*/run: (\d+) of \1 copies failed .* it has no checkpoint, the run that of step 10",
        answer.err,
    )


@both_tasks
def test_the_same_command_again_begins_goes_on_and_finds_the_end(train, stopped, whole, tmp_path, task):
    auto = ("resume=auto", "data.num_workers=1")
    first = train("begun", *auto)
    assert first.code == 0, first.err
    assert compare(whole, first.folder) == []
    assert "resume: null" in (first.folder / "config.yaml").read_text(), "the run is that of the command without it"
    on = train("stopped", *auto)
    assert on.code == 0, on.err
    assert "Resuming after step 7, in epoch 2." in on.out
    assert compare(whole, stopped) == []
    typed = (stopped / "overrides.txt").read_text()
    before = contents(stopped)
    again = train("stopped", *auto)
    assert again.code == 0, again.err
    assert again.out.startswith("This run is finished; nothing was changed.")
    assert contents(stopped) == before
    assert (stopped / "overrides.txt").read_text() == typed


@pytest.mark.parametrize("name", ["stopped", "whole"])
def test_the_folder_of_another_run_is_refused(train, stopped, whole, name):
    answer = train(name, "resume=auto", "seed=5")
    assert answer.code == 2
    assert "seed would make the rest of it another run" in answer.err


def test_which_folder_has_to_be_typed(run_command, tmp_path):
    answer = run_command("train", "resume=auto")
    assert answer.code == 2
    assert "Type hydra.run.dir=DIR with it" in answer.err
    assert not [*tmp_path.glob("runs/*/*")]


@both_tasks
def test_a_run_that_is_repeated_gives_the_same_bits_whoever_reads(train, tmp_path, task):
    for name, workers in (("one", 0), ("other", 2)):
        answer = train(name, "trainer.deterministic=true", f"data.num_workers={workers}")
        assert answer.code == 0, answer.err
    assert compare(tmp_path / "one", tmp_path / "other") == []


def test_a_finished_run_is_reported_and_stays_as_it_is(run_command, whole):
    before = contents(whole)
    answer = run_command("train", f"resume={whole}")
    assert answer.code == 0, answer.err
    assert "This run is finished" in answer.out
    assert answer.folder == whole
    assert contents(whole) == before


def test_a_finished_run_without_its_evaluation_names_the_command_for_one(run_command, whole):
    shutil.rmtree(whole / "evaluation")
    answer = run_command("train", f"resume={whole}")
    assert answer.code == 0, answer.err
    assert f"It has no evaluation; for one: python evaluate.py run={whole}" in answer.out
    assert answer.folder == whole


@pytest.mark.parametrize("harm", [b"a: [1", b"\xff\xfe\x00", b"", b"data: {}\nmodel: {}\ntrainer: 3\n"])
def test_a_damaged_configuration_is_named(run_command, stopped, harm):
    (stopped / "config.yaml").write_bytes(harm)
    answer = run_command("train", f"resume={stopped}")
    assert (answer.code, (stopped / "config.yaml").read_bytes()) == (2, harm)
    assert str(stopped / "config.yaml") in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", ["status.json", "environment.json"])
def test_a_damaged_file_of_the_folder_is_named(run_command, stopped, name):
    (stopped / name).write_bytes(b"{")
    answer = run_command("train", f"resume={stopped}")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert f"{stopped / name} is damaged" in answer.err


@pytest.mark.parametrize("rows", [1, 0])
def test_a_split_with_other_classes_than_the_checkpoint_is_refused(run_command, stopped, rows):
    # In all rows (0): as many classes, which fit the weights, but "amber" is sorted before the others.
    text = (stopped / "split.csv").read_text()
    (stopped / "split.csv").write_text(re.sub(r",red,(?=train|val)", ",amber,", text, count=rows))
    before = contents(stopped)
    answer = run_command("train", f"resume={stopped}")
    assert (answer.code, contents(stopped) == before) == (2, True), answer.err
    assert "was trained on the classes blue, green, red, but the data has amber, blue, green" in answer.err
    assert "Traceback" not in answer.err


def test_a_stopped_run_ends_with_the_evaluation_keys_that_are_typed_later(run_command, stopped, whole):
    answer = run_command("train", f"resume={stopped}", "evaluation.flip=true")
    assert answer.code == 0, answer.err
    assert "note: The final evaluation uses evaluation.flip=true; training continues as before." in answer.out
    different = compare(whole, stopped)
    assert "scores.json loss" in different
    assert all(name.startswith("scores.json") or name.endswith((".csv", ".npz")) for name in different)
    assert "history.csv" not in different
    assert run_command("evaluate", f"run={whole}", "evaluation.flip=true").code == 0
    assert compare(whole, stopped) == []
    assert "evaluation.flip=true" in (stopped / "overrides.txt").read_text().splitlines()
    again = run_command("train", f"resume={stopped}", "evaluation.flip=true")  # a batch system repeats what was typed
    assert "evaluate.py" not in again.out


def test_a_finished_run_is_not_evaluated_anew_but_the_command_is_printed(run_command, whole):
    before = contents(whole)
    typed = ("evaluation.flip=true", "report.train_eval=true", "data.num_workers=1", "evaluation.scales=[1.0]")
    answer = run_command("train", f"resume={whole}", *typed)
    assert answer.code == 0, answer.err
    assert f"Its evaluation stays as it is; for another: python evaluate.py run={whole} evaluation.flip=true" in (
        answer.out.splitlines()
    )
    assert contents(whole) == before
    answer = run_command("train", f"resume={whole}", "evaluation.flip=maybe")
    assert (answer.code, contents(whole) == before) == (2, True)


def test_more_epochs_are_as_if_they_had_been_asked_for_at_first(run_command, train, whole, tmp_path):
    longer = train("longer", "trainer.max_epochs=4")
    assert longer.code == 0, longer.err
    answer = run_command("train", f"resume={whole}", "trainer.max_epochs=4")
    assert answer.code == 0, answer.err
    assert "trainer.max_epochs is now 4, not 2" in answer.out
    assert compare(tmp_path / "longer", whole) == []
    assert yaml.safe_load((whole / "config.yaml").read_text())["trainer"]["max_epochs"] == 4


def test_a_schedule_that_has_fixed_its_steps_cannot_be_prolonged(run_command, train, tmp_path):
    cycle = ("scheduler=constant", "scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler.max_lr=0.1")
    assert train("cycle", *cycle, "trainer.max_epochs=1").code == 0
    before = contents(tmp_path / "cycle")
    answer = run_command("train", f"resume={tmp_path / 'cycle'}", "trainer.max_epochs=2")
    assert answer.code == 2
    assert "trainer.max_epochs: OneCycleLR fixed its steps when the run began" in answer.err
    assert contents(tmp_path / "cycle") == before


@pytest.mark.parametrize(
    "typed",
    ["optimizer.lr=0.01", "seed=3", "aug=none", "~aug", "data.batch_size=6", "ema.decay=0.9", "trainer.accumulate=1"],
)
def test_changes_that_would_make_another_run_are_named(run_command, stopped, typed):
    before = contents(stopped)
    answer = run_command("train", f"resume={stopped}", typed, "data.num_workers=1")
    same = typed == "trainer.accumulate=1"  # as it was
    assert answer.code == (0 if same else 2), answer.err
    if not same:
        assert typed.split("=")[0].strip("~") in answer.err
        assert "num_workers" not in answer.err
        assert "resume_with_changes=true" in answer.err
        assert contents(stopped) == before


def test_changes_can_be_wanted(run_command, stopped):
    typed = ("optimizer.lr=0.01", "optimizer.weight_decay=0.3")
    answer = run_command("train", f"resume={stopped}", *typed, "resume_with_changes=true")
    assert answer.code == 0, answer.err
    assert [row["lr"] for row in read_csv(stopped / "history.csv")] == ["0.001", "0.01"]
    [group] = read(stopped / "checkpoints/last.ckpt")["optimizer_states"][0]["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.3)
    assert yaml.safe_load((stopped / "config.yaml").read_text())["optimizer"]["lr"] == 0.01
    assert "optimizer.lr=0.01" in (stopped / "overrides.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["optimizer=sgd"], "optimizer: a checkpoint holds the state of its own optimiser"),
        (["data.fraction=0.5"], "data.fraction: the run has its split"),
        (["data.split={train: 0.5, val: 0.2, test: 0.3}"], "data.split.train: the run has its split"),
        (["scheduler._target_=torch.optim.lr_scheduler.ConstantLR"], "scheduler._target_: a schedule of torch's"),
    ],
)
def test_changes_without_effect_are_refused_although_they_are_wanted(run_command, stopped, typed, message):
    before = contents(stopped)
    answer = run_command("train", f"resume={stopped}", *typed, "resume_with_changes=true")
    assert (answer.code, contents(stopped) == before) == (2, True), answer.err
    assert message in answer.err


def test_epochs_that_are_over_cannot_be_taken_back(run_command, train, tmp_path):
    with signal_after(step=12):  # of five an epoch: in the third
        assert train("third", "trainer.max_epochs=3").code == 128 + signal.SIGTERM
    before = contents(tmp_path / "third")
    answer = run_command("train", f"resume={tmp_path / 'third'}", "trainer.max_epochs=1")
    assert (answer.code, contents(tmp_path / "third") == before) == (2, True), answer.err
    assert "trainer.max_epochs=1:" in answer.err
    assert "has completed 2 epochs already" in answer.err


@pytest.mark.parametrize(
    "harm", [flip, lambda path: path.write_bytes(path.read_bytes()[:-50]), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(run_command, stopped, whole, harm):
    [before] = earlier(stopped / "checkpoints")
    assert before.name == "last-00000006.ckpt"
    harm(stopped / "checkpoints/last.ckpt")
    answer = run_command("train", f"resume={stopped}")
    assert answer.code == 0, answer.err
    assert "last.ckpt is damaged" in answer.out
    assert "Resuming after step 6 of last-00000006.ckpt, the one before it" in answer.out
    assert compare(whole, stopped) == []


def test_without_a_whole_checkpoint_it_starts_again(run_command, stopped, whole):
    for path in (stopped / "checkpoints").iterdir():
        flip(path)
    answer = run_command("train", f"resume={stopped}")
    assert answer.code == 0, answer.err
    assert "training starts at the first step" in answer.out
    assert compare(whole, stopped) == []


def test_early_stopping_is_not_forgotten(run_command, train, tmp_path, monkeypatch):
    typed = ("early_stopping.patience=1", "early_stopping.min_delta=10", "trainer.max_epochs=9")
    assert train("early", *typed).code == 0
    rows = (tmp_path / "early/history.csv").read_text()

    def cut(*_, **__):
        raise RuntimeError("cut")

    with monkeypatch.context() as patched:
        patched.setattr("entry.job.evaluate_model", cut)
        assert train("cut", *typed).code == 1
    answer = run_command("train", f"resume={tmp_path / 'cut'}")
    assert answer.code == 0, answer.err
    assert len(rows.splitlines()) == 3  # two epochs: the second was no better
    assert compare(tmp_path / "early", tmp_path / "cut") == []
    assert "Early stopping has ended this run" in answer.err
    more = ("early_stopping.patience=3", "trainer.max_epochs=10", "resume_with_changes=true")
    answer = run_command("train", f"resume={tmp_path / 'cut'}", *more)
    assert answer.code == 0, answer.err
    assert len(read_csv(tmp_path / "cut/history.csv")) == 4  # with the patience of before it would be 3
    answer = run_command(
        "train", f"resume={tmp_path / 'cut'}", "early_stopping.patience=null", "trainer.max_epochs=11", more[-1]
    )
    assert answer.code == 0, answer.err
    assert len(read_csv(tmp_path / "cut/history.csv")) == 11


def test_an_earlier_checkpoint_goes_although_nothing_was_left_to_train(run_command, whole):
    shutil.copyfile(whole / "checkpoints/last.ckpt", whole / "checkpoints/last-00000009.ckpt")
    status = json.loads((whole / "status.json").read_text())
    (whole / "status.json").write_text(json.dumps({**status, "state": "running"}))
    assert run_command("train", f"resume={whole}").code == 0
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_the_logged_run_stays_the_same(run_command, train, stopped, tmp_path):
    answer = run_command("train", f"resume={stopped}", "logger=wandb")
    assert answer.code == 0, answer.err
    facts = json.loads((stopped / "environment.json").read_text())["logger"]
    assert facts["kind"] == "wandb"
    first = [path.name.split("-")[3] for path in (stopped / "wandb").glob("offline-run-*")]
    assert first == [facts["id"]]
    assert run_command("train", f"resume={stopped}", "trainer.max_epochs=3").code == 0
    again = {path.name.split("-")[3] for path in (stopped / "wandb").glob("offline-run-*")}
    assert again == {facts["id"]}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["resume=absent"], "resume={cwd}/absent: there is no such folder."),
        (["resume={run}/checkpoints/last.ckpt"], "lies in a run folder. Type resume={run}"),
        (["resume={pictures}"], "no config.yaml in it"),
        (["resume={run}", "model=resnet18"], "makes no sense with run= or resume="),
        (["resume={run}", "data=synthetic_idd"], "was made on image_folder"),
        (["resume={run}", "trainer.max_epoch=3"], "trainer.max_epochs"),
    ],
)
def test_wrong_requests_change_nothing(run_command, stopped, image_folder, typed, message):
    before = contents(stopped)
    answer = run_command("train", *(word.format(run=stopped, pictures=image_folder) for word in typed))
    assert answer.code == 2, answer.err
    assert message.format(run=stopped, cwd=stopped.parent) in answer.err
    assert contents(stopped) == before


def test_keys_that_only_change_last_digits_are_noted(run_command, stopped):
    answer = run_command("train", f"resume={stopped}", "trainer.threads=2", "trainer.deterministic=true", "~logger")
    assert answer.code == 0, answer.err
    assert "note: hardware differs (threads 2, not 1): the last digits may differ" in answer.out
    assert "note: trainer.deterministic changed: the last digits may differ from an uninterrupted run." in answer.out
    assert yaml.safe_load((stopped / "config.yaml").read_text())["trainer"]["threads"] == 2


def test_a_logger_that_is_added_leaves_the_first_ones_id(run_command, stopped):
    assert run_command("train", f"resume={stopped}", "logger=[csv,wandb]").code == 0
    facts = json.loads((stopped / "environment.json").read_text())
    assert [each["kind"] for each in facts["loggers"]] == ["csv", "wandb"]
    assert facts["logger"] == facts["loggers"][0]
    typed = ("logger=[tensorboard,wandb]", "trainer.max_epochs=3")
    assert run_command("train", f"resume={stopped}", *typed).code == 0
    again = json.loads((stopped / "environment.json").read_text())["loggers"]
    assert again[1] == facts["loggers"][1]
    assert {path.name.split("-")[3] for path in (stopped / "wandb").glob("offline-run-*")} == {again[1]["id"]}
    assert list((stopped / "tensorboard").glob("events.*"))


def test_samples_that_are_gone_are_named_and_nothing_is_changed(run_command, stopped, tmp_path):
    before = contents(stopped)
    answer = run_command(
        "train", f"resume={stopped}", f"data.root={make_image_folder(tmp_path / 'fewer', per_class=6)}"
    )
    assert answer.code == 2
    assert ".png" in answer.err
    assert contents(stopped) == before


class Payload:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (os.mkdir, (str(self.canary),))


def test_nothing_in_a_external_run_folder_is_executed(run_command, stopped, tmp_path):
    canary = tmp_path / "canary"
    for path in (stopped / "checkpoints").iterdir():
        torch.save({"state_dict": {}, "payload": Payload(canary)}, path)
    assert run_command("train", f"resume={stopped}").code == 0  # from the start
    assert not canary.exists()
    config = yaml.safe_load((stopped / "config.yaml").read_text())
    config["optimizer"] = {"_target_": "os.mkdir", "path": str(canary), "lr": 0.1}
    (stopped / "config.yaml").write_text(yaml.safe_dump(config))
    answer = run_command("train", f"resume={stopped}", "trainer.max_epochs=5")
    assert answer.code == 2
    assert "os.mkdir" in answer.err
    assert not canary.exists()
