"""train.py: what it leaves in the run folder, and its messages for wrong requests."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from tests.conftest import make_image_folder

ROOT = Path(__file__).resolve().parent.parent
QUICK = (
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "logger=csv",
    "data.num_workers=0",
    "data.image_size=[16,16]",
    "trainer.max_epochs=2",
)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(run_shared_command, image_folder):
    answer = run_shared_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, figures=True)
    assert answer.code == 0, answer.err
    return answer


def test_the_run_folder_is_complete(finished, workplace):
    folder = finished.folder
    assert folder.parent.parent.parent == workplace
    assert folder.name.endswith("_custom_cnn_image_folder")
    evaluation = {"scores.json", "per_class.csv", "confusion.csv", "class_counts.csv", "image_sizes.csv", "slices.csv", "calibration.csv", "per_sample.npz", "config.yaml", "status.json", "report.html",
                  "figures/confusion.png", "figures/per_class.png", "figures/learning_curves.png", "figures/class_distribution.png"}  # fmt: skip
    assert files_below(folder) == {
        "config.yaml", "overrides.txt", "status.json", "environment.json", "split.csv", "files.csv", "history.csv", "timing.csv",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", *(f"evaluation/test/{name}" for name in evaluation),
    }  # fmt: skip
    assert all("=" not in name for name in files_below(folder))
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["exit_code"], status["error"]) == ("finished", 0, None)
    assert "trainer=cpu" in (folder / "overrides.txt").read_text().splitlines()
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    assert json.loads((folder / "environment.json").read_text())["weights"] == {"requested": "auto", "used": "none"}
    assert "accuracy" in finished.out.splitlines()[-2]


def test_scores_are_sklearns_and_each_sample_is_counted_once(finished):
    test = finished.folder / "evaluation" / "test"
    scores = json.loads((test / "scores.json").read_text())
    facts = np.load(test / "per_sample.npz")
    with (finished.folder / "split.csv").open() as file:
        expected = {row["sample"]: row["target"] for row in csv.DictReader(file) if row["split"] == "test"}
    names = [entry["name"] for entry in scores["classes"]]
    truth = [names.index(expected[name]) for name in facts["sample"].tolist()]
    assert sorted(facts["sample"]) == sorted(expected)
    assert facts["target"].tolist() == truth
    assert scores["few_groups"] == {name: truth.count(index) for index, name in enumerate(names)}  # of 12 pictures each
    named = ", ".join(f"{name} {count}" for name, count in scores["few_groups"].items())
    assert f"note: true in fewer than 10 drives (images, where there are none): {named}; chance" in finished.out
    # 36 pictures: 25.2 and 3.6 rounded down, and the rest.
    assert scores["n_expected"] == scores["n_seen"] == scores["n_unique"] == len(expected) == 36 - 25 - 3
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, facts["prediction"]))
    assert scores["f1_macro"] == pytest.approx(
        f1_score(truth, facts["prediction"], average="macro", labels=range(3), zero_division=0)
    )
    with (finished.folder / "split.csv").open() as file:
        trained = [row["target"] for row in csv.DictReader(file) if row["split"] == "train"]
    commonest = max(names, key=trained.count)
    assert scores["baselines"]["majority"]["accuracy"] == pytest.approx(
        list(expected.values()).count(commonest) / len(expected)
    )
    with (test / "confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["truth", *names, "void"]
    counted = np.array([[int(cell) for cell in row[1:]] for row in rows[1:]])
    assert np.array_equal(counted[:3, :3], confusion_matrix(truth, facts["prediction"], labels=range(3)))
    assert counted[3].sum() == counted[:, 3].sum() == 0


def test_history_has_a_row_per_epoch_with_both_streams(finished):
    with (finished.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(
        float(row[name]) > 0 for row in rows for name in ("train/loss", "train_eval/loss", "val/loss", "seconds")
    )


def test_the_best_checkpoint_has_the_highest_validation_score(finished):
    with (finished.folder / "history.csv").open() as file:
        scores = [float(row["val/f1_macro"]) for row in csv.DictReader(file)]
    best = torch.load(finished.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == scores.index(max(scores))
    assert best["hyper_parameters"] == {"label_space": "image_folder", "classes": ["blue", "green", "red"]}


def test_the_same_seed_gives_the_same_bits(run_command, image_folder):
    def weights(*extra: str) -> dict[str, torch.Tensor]:
        answer = run_command(
            "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "aug=flip_rotate", *extra
        )
        assert answer.code == 0, answer.err
        return torch.load(answer.folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    first, again, other = weights(), weights("data.num_workers=2"), weights("seed=1")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("model", ["custom_cnn", "resnet18"])
@pytest.mark.parametrize("aug", ["none", "flip_rotate", "road"])
def test_every_model_and_augmentation_takes_a_step(run_command, image_folder, model, aug):
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"model={model}", f"aug={aug}", "model.weights=none",
                  "data.image_size=[32,32]", "trainer.limit_batches=1", "trainer.max_epochs=1")  # fmt: skip
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer=adamw", "scheduler=cosine"),
        ("optimizer=sgd", "scheduler=poly", "loss.label_smoothing=0.1", "loss.class_weights=balanced"),
        ("trainer.precision=bf16-mixed", "trainer.gradient_clip=1.0", "trainer.accumulate=2", "early_stopping.patience=1"),
        ("trainer.deterministic=true", "data.cache=true", "report.train_eval=false", "trainer.channels_last=false"),
        ("logger=tensorboard",),
        ("experiment=q2_custom_cnn",),
        ("experiment=q2_resnet18", "model.weights=none"),
        ("experiment=q2_resnet18_flip_rotate", "model.weights=none"),
    ],
)  # fmt: skip
def test_every_other_option_takes_a_step(run_command, image_folder, settings):
    answer = run_command(
        "train",
        "data=image_folder",
        f"data.root={image_folder}",
        *QUICK,
        "data.image_size=[32,32]",
        "data.batch_size=10",
        *settings,
    )
    assert answer.code == 0, answer.err


def test_a_training_that_ends_early_reports_why(run_command, image_folder):
    typed = (
        "data=image_folder",
        f"data.root={image_folder}",
        *QUICK,
        "trainer.max_epochs=5",
        "early_stopping.patience=1",
    )
    answer = run_command(
        "train", *typed, "early_stopping.min_delta=100"
    )  # no epoch is better than the first by so much
    assert answer.code == 0, answer.err
    assert len((answer.folder / "history.csv").read_text().splitlines()) == 1 + 2
    line = "early stopping: after epoch 2 of 5, as val/loss has not fallen for early_stopping.patience=1"
    assert [each for each in answer.err.splitlines() if each.startswith("early")] == [line]


def test_wandb_is_one_offline_run_inside_the_folder(run_command, image_folder):
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, "logger=wandb")
    assert answer.code == 0, answer.err
    logger = json.loads((answer.folder / "environment.json").read_text())["logger"]
    assert "wandb" not in answer.err  # nothing that its user could act on
    runs = list((answer.folder / "wandb").glob("offline-run-*"))
    assert [run.name.rsplit("-", 1)[-1] for run in runs] == [logger["id"]]


def test_a_bad_loss_stops_with_its_step(run_command, image_folder):
    answer = run_command(
        "train",
        "data=image_folder",
        f"data.root={image_folder}",
        *QUICK,
        "optimizer=sgd",
        "optimizer.lr=1e30",
        "data.batch_size=5",
    )
    assert answer.code == 1
    assert "The loss was" in answer.err
    assert "at step" in answer.err
    assert "Traceback" not in answer.err
    [folder] = Path.cwd().glob("runs/*/*")
    assert json.loads((folder / "status.json").read_text())["state"] == "failed"


def wrong_requests() -> dict[str, tuple[list[str], str]]:
    return {
        "no such root": (["data.root=absent"], "absent"),
        "an empty root": (["data.root=empty"], "empty"),
        "no class folders": (["data.root=flat"], "flat"),
        "one class": (["data.root=single"], "one class"),
        "too few images": (["data.root=few"], "red"),
        "corrupt files": (["data.root=corrupt"], "broken"),
        "a fraction of 0": (["data.fraction=0"], "data.fraction=0"),
        "a fraction of 1.5": (["data.fraction=1.5"], "data.fraction=1.5"),
        "splits that do not add up": (["data.split={train: 0.7, val: 0.2, test: 0.2}"], "data.split"),
        "weights that are not there": (["model.weights=absent.pt"], "absent.pt"),
        "weights that are text": (["model.weights=text.pt"], "text.pt"),
        "weights of no such kind": (["model.weights=imagenet"], "ImageNet"),
        "a batch of one for BatchNorm": (["data.batch_size=1"], "BatchNorm"),
        "a misspelt key": (["data.bach_size=3"], "data.batch_size"),
        "a misspelt option": (["aug=flip_rotat"], "flip_rotate"),
        "a misspelt group": (["modell=resnet18"], "model"),
        "another misfit": (["trainer.precision=17"], "trainer.precision=17"),
        "a rotation below 0": (["aug=flip_rotate", "aug.rotation=-5"], "aug.rotation=-5"),
        "no such accelerator": (["trainer.accelerator=tpu"], "trainer.accelerator=tpu"),
        "a worker count that is none": (["data.num_workers=-1"], "data.num_workers=-1"),
    }


@pytest.mark.parametrize("case", wrong_requests())
def test_a_wrong_request_is_answered_and_leaves_nothing(run_command, tmp_path, image_folder, case):
    make_image_folder(tmp_path / "single", classes={"red": (200, 0, 0)})
    make_image_folder(tmp_path / "few", per_class=2)
    corrupt = make_image_folder(tmp_path / "corrupt", per_class=5)
    (corrupt / "red" / "broken.jpg").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "a.png")
    (tmp_path / "text.pt").write_text("hello")
    before = files_below(tmp_path)
    typed, named = wrong_requests()[case]
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *typed)
    assert answer.code == 2, answer.err
    assert named in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert files_below(tmp_path) == before
    assert not (tmp_path / "runs").exists()


def test_corrupt_files_are_all_named_or_left_out_and_written_down(run_command, tmp_path):
    root = make_image_folder(tmp_path / "pictures")
    (root / "red" / "text.jpg").write_text("not a picture")
    (root / "blue" / "nothing.png").touch()
    refused = run_command("train", "data=image_folder", f"data.root={root}", *QUICK)
    assert refused.code == 2
    assert "text.jpg" in refused.err
    assert "nothing.png" in refused.err
    skipping = run_command("train", "data=image_folder", f"data.root={root}", "data.on_corrupt=skip", *QUICK)
    assert skipping.code == 0, skipping.err
    skipped = json.loads((skipping.folder / "environment.json").read_text())["skipped"]
    assert {entry["sample"] for entry in skipped} == {"red/text.jpg", "blue/nothing.png"}


def test_a_folder_that_holds_a_run_is_refused_and_kept(run_command, finished, image_folder):
    before = files_below(finished.folder)
    answer = run_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"hydra.run.dir={finished.folder}"
    )
    assert answer.code == 2
    assert "already holds a run" in answer.err
    assert files_below(finished.folder) == before


def test_paths_with_spaces_and_equal_signs(run_command, tmp_path):
    root = make_image_folder(tmp_path / "my data" / "a=b (1)")
    unquoted = run_command("train", "data=image_folder", f"data.root={root}", *QUICK)
    assert unquoted.code == 2
    assert "quotes" in unquoted.err
    answer = run_command(
        "train", "data=image_folder", f'data.root="{root}"', *QUICK, f'hydra.run.dir="{tmp_path}/out put=1"'
    )
    assert answer.code == 0, answer.err
    assert answer.folder == tmp_path / "out put=1"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_a_true_status(tmp_path, image_folder, number):
    run = tmp_path / "run"
    command = [sys.executable, str(ROOT / "train.py"), f"hydra.run.dir={run}", "data=image_folder", f"data.root={image_folder}",
               *QUICK, "trainer.max_epochs=100000"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    while not (run / "history.csv").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("stopped", 128 + number)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    assert not [name for name in files_below(run) if name.endswith(".tmp")]
