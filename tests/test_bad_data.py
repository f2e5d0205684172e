"""Files that go or change while a run goes on, after all of them were checked: an end that names the file, or a skip that is recorded."""

import contextlib
import json
import shutil

import pytest
import torch

from callbacks.checkpoints import Checkpoints
from run_files import read_csv
from tests.conftest import make_image_folder, make_mask_folder
from tests.entry.distributed.test_supervisor import call
from tests.test_segmentation import KEYS
from tests.test_train import QUICK

IMAGES = ("data=image_folder", *QUICK, "data.cache=false", "data.batch_size=8", "aug=flip_rotate")
MASKS = (*KEYS, "data.cache=false")


@contextlib.contextmanager
def after_epoch(act):
    """Call `act` with the run folder at the end of the first epoch of any training within this context."""
    plain = Checkpoints.on_train_epoch_end

    def end(self, trainer, *arguments):
        plain(self, trainer, *arguments)
        if trainer.current_epoch == 0:
            act(self.writer.folder.parent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_end", end)
        yield


def delete(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_folder(path):  # what root cannot read either
    path.unlink()
    path.mkdir()


def loop(path):
    path.unlink()
    path.symlink_to(path)


FAULTS = {delete: "No such file or directory", truncate: "damaged: ", make_folder: "Is a directory", loop: "Too many levels of symbolic links"}  # fmt: skip


def of_split(run, split):
    return [row["sample"] for row in read_csv(run / "split.csv") if row["split"] == split]


@pytest.fixture
def pictures(tmp_path):
    return make_image_folder(tmp_path / "pictures")


@pytest.fixture
def streets(tmp_path):
    return make_mask_folder(tmp_path / "streets")


def broken(run_command, arguments, root, split, fault, folder="", place=0):
    """Train while a file of a split breaks after the first epoch: (answer, name of its sample, file, run folder)."""
    found = []

    def act(run):
        name = of_split(run, split)[place]
        file = root / name.replace("images", folder or "images")
        shutil.copy(file, root.parent / "kept")
        fault(file)
        found.extend((name, file, run))

    with after_epoch(act):
        answer = run_command("train", f"data.root={root}", *arguments)
    return answer, *found


@pytest.mark.parametrize(
    ("split", "fault", "workers"),
    [("train", delete, 0), ("train", delete, 1), ("train", truncate, 1), ("val", make_folder, 0), ("val", loop, 1), ("test", delete, 0),
     ("test", truncate, 1)],
)  # fmt: skip
def test_an_image_that_breaks_ends_the_run_with_its_name_and_cause(run_command, pictures, split, fault, workers):
    answer, _, file, run = broken(run_command, (*IMAGES, f"data.num_workers={workers}"), pictures, split, fault)
    assert answer.code == 1, answer.err
    assert "Traceback" not in answer.err
    last = answer.err.splitlines()[-1]
    assert FAULTS[fault] in last
    assert str(file) in last
    assert "restore it, and type python train.py resume=RUN_FOLDER" in last
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 1)
    assert status["error"] == f"UnreadableError: {last}"
    assert not (run / "evaluation/test").exists()


@pytest.mark.parametrize(("split", "fault", "workers"), [("train", delete, 0), ("train", truncate, 2), ("val", delete, 1), ("test", truncate, 0)])  # fmt: skip
def test_a_mask_that_breaks_ends_the_run_with_its_name_and_cause(run_command, streets, split, fault, workers):
    answer, _, file, _ = broken(
        run_command, (*MASKS, f"data.num_workers={workers}"), streets, split, fault, folder="masks"
    )
    assert answer.code == 1, answer.err
    assert "Traceback" not in answer.err
    assert str(file) in answer.err.splitlines()[-1]
    assert FAULTS[fault] in answer.err.splitlines()[-1]


def test_restored_the_run_goes_on_as_if_nothing_had_happened(run_command, pictures):
    answer, _, file, run = broken(run_command, IMAGES, pictures, "train", delete)
    assert answer.code == 1
    shutil.copy(pictures.parent / "kept", file)
    again = run_command("train", f"resume={run}")
    assert again.code == 0, again.err
    whole = run_command("train", f"data.root={pictures}", *IMAGES)
    assert whole.code == 0, whole.err
    assert same_weights(run, whole.folder)


def same_weights(*runs):
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in runs)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_training_image_that_is_skipped_is_recorded_and_replaced_the_same_way_by_any_workers(run_command, pictures):
    runs = []
    for workers in (0, 1):
        answer, name, file, run = broken(
            run_command, (*IMAGES, f"data.num_workers={workers}", "data.on_corrupt=skip", "trainer.max_epochs=3"), pictures, "train", delete
        )  # fmt: skip
        assert answer.code == 0, answer.err
        rows = read_csv(run / "skipped.csv")
        assert [(row["epoch"], row["part"], row["sample"]) for row in rows if row["part"] == "train"] == [("1", "train", name), ("2", "train", name)]  # fmt: skip
        assert {row["reason"] for row in rows} == {f"{file}: No such file or directory"}
        assert (
            answer.err.count(f"train: {file}: No such file or directory; another sample of the epoch takes its place")
            == 1
        )
        facts = json.loads((run / "evaluation/test/scores.json").read_text())
        assert facts["n_seen"] == facts["n_unique"] == facts["n_expected"]
        shutil.copy(pictures.parent / "kept", file)
        runs.append(run)
    assert same_weights(*runs)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_evaluated_image_that_is_skipped_is_missing_from_the_scores_and_said(run_command, pictures, workers):
    keys = (*IMAGES, f"data.num_workers={workers}", "data.on_corrupt=skip", "data.eval_batch_size=1")
    answer, name, file, run = broken(run_command, keys, pictures, "test", truncate)
    assert answer.code == 0, answer.err
    facts = json.loads((run / "evaluation/test/scores.json").read_text())
    expected = len(of_split(run, "test"))
    assert (facts["n_expected"], facts["n_seen"], facts["n_unique"]) == (expected, expected - 1, expected - 1)
    [row] = read_csv(run / "evaluation/test/skipped.csv")
    assert (row["epoch"], row["part"], row["sample"]) == ("", "test", name)
    assert f"test: {file}: damaged: " in answer.err
    assert "it is not scored (data.on_corrupt=skip)" in answer.err


def test_frames_and_masks_that_are_skipped(run_command, streets):
    keys = (*MASKS, "data.on_corrupt=skip", "data.num_workers=1", "aug.copy_paste=0.5", "trainer.max_epochs=3")
    answer, name, file, run = broken(run_command, keys, streets, "train", delete, folder="masks")
    assert answer.code == 0, answer.err
    rows = [row for row in read_csv(run / "skipped.csv") if row["part"] == "train"]
    assert {row["sample"] for row in rows} == {name}
    assert {row["epoch"] for row in rows} == {"1", "2"}
    assert {row["reason"] for row in rows} == {f"{file}: No such file or directory"}


def test_a_disk_that_is_gone_ends_a_run_that_skips(run_command, pictures):
    def act(run):
        shutil.rmtree(pictures)

    with after_epoch(act):
        answer = run_command("train", f"data.root={pictures}", *IMAGES, "data.on_corrupt=skip")
    assert answer.code == 1, answer.err
    assert "10 others in its place cannot be read either" in answer.err
    assert "Traceback" not in answer.err


DELETES = """
import csv
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Deletes(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.is_global_zero and trainer.current_epoch == 0:
            rows = list(csv.DictReader(Path(trainer.default_root_dir, "split.csv").open()))
            for split in ("train", "test"):
                for row in [row for row in rows if row["split"] == split][:3]:
                    (Path(trainer.datamodule.root) / row["sample"]).unlink()
"""


@pytest.mark.slow
def test_two_ranks_record_what_each_of_them_skips(tmp_path, pictures):
    (tmp_path / "deletes.py").write_text(DELETES)
    run = tmp_path / "run"
    typed = (f"hydra.run.dir={run}", f"data.root={pictures}", *IMAGES, "data.on_corrupt=skip", "data.eval_batch_size=2", "trainer=ddp_cpu",
             "trainer.devices=2", "+callbacks.deletes._target_=deletes.Deletes", "allow=[deletes]")  # fmt: skip
    answer = call("train.py", *typed, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 0, answer.stderr
    gone = {split: set(of_split(run, split)[:3]) for split in ("train", "test")}
    rows = read_csv(run / "skipped.csv")
    assert {row["sample"] for row in rows if (row["epoch"], row["part"]) == ("1", "train")} == gone["train"]
    assert {row["sample"] for row in read_csv(run / "evaluation/test/skipped.csv")} == gone["test"]
    facts = json.loads((run / "evaluation/test/scores.json").read_text())
    assert facts["n_seen"] == facts["n_unique"] == facts["n_expected"] - 3
