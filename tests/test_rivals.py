"""benchmarks/rivals.py with stand-ins instead of trainings, on tiny frames in IDD-Lite's layout."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import rival_trainings, rivals
from benchmarks.rival_layouts import frames, in_layout, mask_of, put_aside, share_of_void, yolo_layout
from benchmarks.rival_trainings import Pace, Training, own_score, timed

ROOT = Path(__file__).resolve().parent.parent
SIZE = (28, 40)
# What a stand-in does instead of a training: the truth, of which a part, larger at other rates than 0.3, is replaced by class 0.
STAND_IN = """
def train(training, pace):
    masks = training.folder / "masks"
    wrong = {"ours": 0.1, "lightning": 0.3}.get(training.name, 0.2) + (0 if training.factor == 0.3 else 0.2)
    for frame in frames(training.root, "val"):
        mask = cv2.imread(str(mask_of(training.root, frame)), cv2.IMREAD_UNCHANGED)
        mask[mask == 255] = 1
        mask[:, : round(wrong * mask.shape[1])] = 0
        target = masks / frame.parent.name / mask_of(training.root, frame).name
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), mask)
    with (training.folder.parents[1] / "trained.txt").open("a") as file:
        print(training.folder.name, training.minutes, file=file)
    return {"masks": str(masks), "minutes": training.minutes * (1.2 if training.folder.name == "lightning_1" else 1), "own": ""}
"""
scope: dict = {"frames": frames, "mask_of": mask_of, "cv2": cv2}
exec(STAND_IN, scope)  # noqa: S102  also typed into a process of its own
stand_in = scope["train"]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """Twenty drives of train and six of val, two frames each, with all seven classes and a row of void."""
    root = tmp_path_factory.mktemp("lite")
    for split, drives in (("train", range(20)), ("val", range(30, 36))):
        for drive in drives:
            for i in range(2):
                draws = np.random.default_rng([len(split), drive, i])
                image = root / "leftImg8bit" / split / str(drive) / f"{i}_image.jpg"
                mask = np.repeat(draws.permutation(np.repeat(np.arange(7), 4)).astype(np.uint8)[:, None], SIZE[1], 1)
                mask[0] = 255
                for path in (image, mask_of(root, image)):
                    path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(image), draws.integers(0, 255, (*SIZE, 3), dtype=np.uint8))
                cv2.imwrite(str(mask_of(root, image)), mask)
    return root


def training(root, folder, name="ours", **changes):
    facts = {"minutes": 2.0, "seed": 0, "factor": 1.0, "pretrained": False, "threads": 1, **changes}
    return Training(name, root, folder, **facts)


def type_rivals(monkeypatch, capsys, *typed):
    monkeypatch.setattr(sys, "argv", ["rivals.py", *map(str, typed)])
    capsys.readouterr()
    rivals.main()
    return capsys.readouterr()


def scored(command, log, threads, **variables):
    """Instead of evaluate.py and compare.py: the share of right pixels, and a difference that is always the same."""
    if command[1] == "-c":
        return "8.4.190\n"
    keys = dict(each.split("=", 1) for each in map(str, command) if "=" in each)
    out = Path(keys["hydra.run.dir"])
    if "evaluate.py" in command:
        masks, root = Path(keys["predictions"]), Path(keys["data.root"])
        pairs = [(mask_of(root, frame), masks / frame.parent.name / mask_of(root, frame).name) for frame in frames(root, "val")]  # fmt: skip
        right = np.mean([(cv2.imread(str(a), -1) == cv2.imread(str(b), -1)).mean() for a, b in pairs])
        (out / "evaluation/val").mkdir(parents=True)
        (out / "evaluation/val/scores.json").write_text(json.dumps({"miou": right, "intervals": {"miou": [0.25, 0.75]}}))  # fmt: skip
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.csv").write_text("score,class,first,second,value,low,high,p\nmiou,,a,b,0.01,-0.02,0.03,0.5\n")
    return ""


def test_drives_put_aside_are_whole_and_every_frame_is_used_once(lite, tmp_path):
    aside = put_aside(lite, tmp_path / "aside")
    train, val = ({f"{path.parent.name}/{path.name}" for path in frames(aside, split)} for split in ("train", "val"))
    assert {name.split("/")[0] for name in val} == {"0", "18"}  # of drives in the order of their names
    assert len(train) == 36
    assert not {name.split("/")[0] for name in train} & {"0", "18"}
    assert put_aside(lite, tmp_path / "aside") == aside  # again, over the same links
    assert share_of_void(aside) == pytest.approx(1 / 28)


def test_masks_of_the_other_layout_have_the_names_of_idd_lite(lite, tmp_path):
    data = yolo_layout(lite, tmp_path / "data")
    assert data.read_text().startswith("masks_dir: masks\nnames:\n  0: drivable\n  1: ")
    assert len(list((tmp_path / "data/images/train").iterdir())) == 40
    in_layout(tmp_path / "data/masks/val", tmp_path / "masks")
    for frame in frames(lite, "val"):
        mask = mask_of(lite, frame)
        assert (tmp_path / "masks" / mask.parent.name / mask.name).read_bytes() == mask.read_bytes()


@pytest.mark.parametrize(
    ("seconds", "steps"), [(220, 200), (110, 100), (115, 100), (170, 150), (1, 1), (40, 30), (219, 199)]
)
def test_steps_and_validations_fill_the_minutes(seconds, steps):
    assert Pace(step=1.0, between=10.0, steps=100).within(seconds / 60) == steps


@pytest.mark.parametrize(("count", "step", "steps"), [(130, 2, 17), (41, 5, 6)])
def test_the_pace_of_our_recipe_is_that_of_the_second_epoch(lite, tmp_path, monkeypatch, count, step, steps):
    def trained(command, log, threads, **variables):
        assert {"experiment=idd_lite", "optimizer.lr=0.002", "optimizer.encoder_lr=0.0005", "trainer.threads=2", "data.num_workers=1"} <= {*command}  # fmt: skip
        run = Path(command[-1].removeprefix("hydra.run.dir="))
        run.mkdir()
        (run / "history.csv").write_text("epoch,seconds\n0,90\n1,40\n")
        (run / "timing.csv").write_text("epoch,steps\n0,60\n1,30\n")
        (run / "split.csv").write_text("name,split\n" + "a,train\n" * count + "b,select\nc,val\n")
        (run / "config.yaml").write_text("data: {batch_size: 8}")
        return ""

    monkeypatch.setattr(rival_trainings, "run", trained)
    assert timed(training(lite, tmp_path / "timing", pretrained=True, threads=2)) == {"step": step, "between": 10, "steps": steps}  # fmt: skip


def test_what_ultralytics_prints_of_itself_is_read():
    printed = "\x1b[K  Class  Images  Pixels  mIoU  PixAcc: 100% 14/14 1.3it/s 10.9s\n                   all        107    7915480    0.00375     0.0262\n"
    assert own_score(printed, 109) == "mIoU 0.004 of 107 of 109 frames"
    with pytest.raises(ValueError, match="no line of scores"):
        own_score("Traceback", 109)


def test_ultralytics_is_another_program(lite, tmp_path):
    """A stand-in for the package, in an interpreter of its own."""
    package = tmp_path / "site/ultralytics"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cfg.py").write_text(
        "import json, os, pathlib, shutil, sys\n"
        "def entrypoint():\n"
        "    keys = dict(each.split('=', 1) for each in sys.argv[3:])\n"
        "    out, data = pathlib.Path(keys['project'], keys['name']), pathlib.Path(keys['data']).parent\n"
        "    out.mkdir()\n"
        "    seen = [os.cpu_count(), os.environ['YOLO_OFFLINE'], os.path.exists(os.environ['YOLO_CONFIG_DIR'] + '/Ultralytics/Arial.ttf')]\n"
        "    (out / 'typed.json').write_text(json.dumps([*sys.argv[1:3], keys, seen]))\n"
        "    (out / 'results.csv').write_text('epoch,time\\n1,30\\n2,90\\n')\n"
        "    if sys.argv[2] == 'val':\n"
        "        shutil.copytree(data / 'masks/val', out / 'results')\n"
        "        print('                   all         11    1000    0.25     0.5')\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    work = tmp_path / "work"
    found = training(lite, work, "yolo26n-sem", factor=2.0, yolo=str(python)).train(None)
    assert (found["minutes"], found["own"]) == (1.5, "mIoU 0.250 of 11 of 12 frames")
    assert len(list(Path(found["masks"]).glob("*/*_label.png"))) == 12
    task, mode, keys, seen = json.loads((work / "train/typed.json").read_text())
    assert (task, mode, seen) == ("semantic", "train", [2, "1", True])  # which leaves it one thread
    assert (keys["pretrained"], keys["lr0"], keys["workers"], float(keys["time"])) == ("False", "0.001818", "0", 2 / 60)
    assert json.loads((work / "val/typed.json").read_text())[2]["model"] == f"{work}/train/weights/last.pt"


def test_no_source_imports_ultralytics_and_no_list_requires_it():
    files = [*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py")]  # not those of .venv
    assert len(files) > 300
    lines = [line.split() for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if line[:1] in (["import"], ["from"]) and line[1].startswith("ultralytics")]
    assert not any("ultralytics" in (ROOT / name).read_text() for name in ("pyproject.toml", "requirements.txt"))


def test_each_has_as_many_trials_and_its_best_rate_trains_for_the_table(lite, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Training, "train", stand_in)
    monkeypatch.setattr(rivals, "timed", lambda training: {"step": 1, "between": 1, "steps": 5})
    monkeypatch.setattr(rivals, "run", scored)
    typed = ("--root", lite, "--work", tmp_path, "--minutes", 2, "--rates", 1, 0.3, "--trial-minutes", 0.5, "--seeds", 0, 1, "--threads", 1, "--yolo", sys.executable)  # fmt: skip
    answer = type_rivals(monkeypatch, capsys, *typed)
    one = lambda name: [f"{name}_trial_1 0.5", f"{name}_trial_0.3 0.5", f"{name}_0 2.0", f"{name}_1 2.0"]  # noqa: E731
    wanted = [line for name in rivals.BLOCKS["scratch"] for line in one(name)]
    assert (tmp_path / "trained.txt").read_text().splitlines() == wanted
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in answer.out.splitlines() if line[:1] == "|"]  # fmt: skip
    assert [row[0] for row in table[2:]] == [name for name in rivals.BLOCKS["scratch"] for _ in "01"]
    assert {row[2] for row in table[2:]} == {"×0.3"}
    assert [row[3] for row in table[2:]] == ["2.0"] * 7 + ["2.4"]
    assert {(row[6], row[7]) for row in table[4:]} == {("+0.010 [-0.020, +0.030]", "0.5000")}
    assert [row[6:8] for row in table[2:4]] == [["", ""], ["", ""]]
    assert ", ultralytics 8.4.190\n" in answer.out
    assert "12 frames of val at their own size; void is 3.57% of the pixels. Threads: 1." in answer.out

    again = type_rivals(monkeypatch, capsys, *typed)
    assert again.out == answer.out
    late = "lightning_1 trained for 2.40 minutes, not 2"
    assert [line for line in again.err.splitlines() if not line.startswith("kept: ")] == [late]
    assert answer.err.count("minutes, not") == 1
    assert (tmp_path / "trained.txt").read_text().splitlines() == wanted
    with pytest.raises(
        SystemExit, match=r"ours_0/trained\.json is of .*'minutes': '2\.0'.*, not of .*'minutes': '3\.0'"
    ):
        type_rivals(monkeypatch, capsys, *typed, "--minutes", 3)


def test_after_a_kill_what_was_finished_is_not_trained_again(lite, tmp_path):
    """Killed in the middle of the second rival's training, then typed again; the scoring is a stand-in too."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal, sys\nimport cv2\nfrom benchmarks import rivals\nfrom benchmarks.rival_layouts import frames, mask_of\n"
        + STAND_IN
        + "def killed(training, pace):\n"
        "    if training.name == 'lightning' and 'kill' in os.environ:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return train(training, pace)\n"
        "rivals.Training.train = killed\n"
        "rivals.timed = lambda training: {'step': 1, 'between': 1, 'steps': 5}\n"
        "rivals.score = lambda training, masks: {'miou': 0.5, 'interval': [0.4, 0.6], 'evaluation': masks}\n"
        "rivals.compared = lambda *_: {'value': 0, 'low': 0, 'high': 0, 'p': 1}\n"
        "rivals.main()\n"
    )
    typed = [sys.executable, str(program), "--root", str(lite), "--work", str(tmp_path / "work"), "--minutes", "2", "--block", "pretrained"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(typed, env={**environment, "kill": "1"}, capture_output=True, text=True, check=False)
    assert first.returncode == -signal.SIGKILL
    work = tmp_path / "work"
    assert (work / "trained.txt").read_text() == "ours_0 2.0\n"
    again = subprocess.run(typed, env=environment, capture_output=True, text=True, check=True)
    kept = [line for line in again.stderr.splitlines() if line.startswith("kept: ")]
    folder = work / "pretrained"
    assert kept == [f"kept: {folder / name}" for name in ("timing.json", "ours_0/trained.json", "ours_0/scored.json")]
    assert (work / "trained.txt").read_text() == "ours_0 2.0\nlightning_0 2.0\n"
    assert again.stdout.count("| ours |") == again.stdout.count("| lightning |") == 1


@pytest.mark.slow
def test_the_masks_are_scored_and_compared_by_the_commands(lite, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Training, "train", stand_in)
    monkeypatch.setattr(rivals, "timed", lambda training: {"step": 1, "between": 1, "steps": 5})
    answer = type_rivals(monkeypatch, capsys, "--root", lite, "--work", tmp_path, "--block", "pretrained")
    ours, other = (json.loads((tmp_path / "pretrained" / name / "scored.json").read_text())["found"] for name in ("ours_0", "lightning_0"))  # fmt: skip
    assert ours["miou"] > other["miou"] > 0.3
    assert ours["interval"][0] <= ours["miou"] <= ours["interval"][1]
    assert f"| {other['miou'] - ours['miou']:+.3f} [" in answer.out


def test_an_interpreter_that_is_missing_or_lacks_ultralytics_is_refused_before_anything_is_trained(
    lite, tmp_path, monkeypatch, capsys
):
    typed = ("--root", lite, "--work", tmp_path, "--yolo")
    with pytest.raises(SystemExit):
        type_rivals(monkeypatch, capsys, *typed, tmp_path / "none")
    assert f"--yolo {tmp_path / 'none'}: no such program" in capsys.readouterr().err
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without any package
    python.chmod(0o755)
    with pytest.raises(SystemExit, match="No package metadata was found for ultralytics"):
        type_rivals(monkeypatch, capsys, *typed, python)


def test_a_command_that_fails_is_named_with_its_output(tmp_path):
    with pytest.raises(SystemExit, match=r"exit code 3, see .*log\.txt\nlost"):
        rival_trainings.run([sys.executable, "-c", "print('lost'); raise SystemExit(3)"], tmp_path / "log.txt", 1)


@pytest.mark.slow  # imports Lightning and smp
def test_masks_have_the_frames_own_size_where_the_network_is_given_more(lite, tmp_path):
    pytest.importorskip("segmentation_models_pytorch")
    import torch

    from benchmarks.rival_loops import write_masks

    given = set()

    class Columns(torch.nn.Module):
        def forward(self, images):
            given.add(tuple(images.shape))
            return torch.nn.functional.one_hot(torch.arange(images.shape[-1]) % 7, 7).T[None, :, None].expand(1, 7, images.shape[2], -1)  # fmt: skip

    write_masks(Columns(), lite, tmp_path, 32)
    assert given == {(1, 3, 32, 64)}
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in tmp_path.glob("*/*_label.png")]
    assert len(masks) == 12
    assert all((mask == np.arange(SIZE[1]) % 7).all() and mask.shape == SIZE for mask in masks)
