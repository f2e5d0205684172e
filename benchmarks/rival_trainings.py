"""The trainings of `benchmarks/rivals.py`, each in processes of its own: from frames and minutes to masks of val in IDD-Lite's layout."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.rival_layouts import frames, in_layout, yolo_layout

PROJECT = Path(__file__).resolve().parents[1]
# Learning rates that the trials multiply. That of yolo26n-sem is what its own optimizer=auto takes for seven classes.
RATES = {"yolo26n-sem": 0.000909, "torchvision": 0.02, "lightning": 2e-3}
TIMED = 15  # batches of an epoch in the timing of our recipe
# Run by another interpreter, with a number of threads and what one types after `yolo`. Ultralytics takes a thread less than the machine has
# cores, whatever OMP_NUM_THREADS is.
YOLO = """
import importlib, os, sys
threads = int(sys.argv.pop(1))
os.cpu_count = lambda: threads + 1
importlib.import_module("ultralytics.cfg").entrypoint()
"""


@dataclass(frozen=True)
class Training:
    """One training: of which rival, on which frames, how long, and where its files go."""

    name: str
    root: Path
    folder: Path
    minutes: float
    seed: int
    factor: float  # of the learning rate
    pretrained: bool
    threads: int
    yolo: str | None = None  # an interpreter with the package ultralytics

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the result."""
        names = ("name", "root", "minutes", "seed", "factor", "pretrained", "threads")
        return {name: str(getattr(self, name)) for name in names}

    @property
    def recipe(self) -> str:
        """Our experiment of this block."""
        return "idd_lite" if self.pretrained else "idd_lite_scratch"

    @property
    def workers(self) -> int:
        """Processes that read images: none where there is one core."""
        return self.threads - 1

    def train(self, pace: "Pace | None") -> dict[str, Any]:
        """Train and write masks; return {masks, minutes, own}: a folder, minutes of the steps and validations, what it prints of itself."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.name == "ours":
            assert pace is not None
            return ours(self, pace)
        return yolo(self) if self.name == "yolo26n-sem" else loop(self)


def run(command: Sequence[object], log: Path, threads: int, **variables: str) -> str:
    """Run a command from the project's root and return its output, which is also kept. Raises SystemExit where it fails."""
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "offline", "OMP_NUM_THREADS": str(threads), **variables}  # fmt: skip
    typed = [str(each) for each in command]
    with log.open("w", encoding="utf-8") as file:  # written while it runs, to be looked at
        code = subprocess.run(typed, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False).returncode  # fmt: skip
    text = log.read_text(encoding="utf-8", errors="replace")
    if code:
        raise SystemExit(f"{' '.join(typed[:4])}: exit code {code}, see {log}\n{text[-1000:]}")
    return text


@dataclass(frozen=True)
class Pace:
    """How long our recipe takes on these cores, in seconds."""

    step: float
    between: float  # from the last step of an epoch to the next epoch: validation and checkpoints
    steps: int  # of an epoch

    def within(self, minutes: float) -> int:
        """Return how many steps, at least one, are trained and validated in some minutes."""
        whole, rest = divmod(60 * minutes, self.steps * self.step + self.between)
        last = min(self.steps, max(0, math.floor((rest - self.between) / self.step)))
        return max(1, int(whole) * self.steps + last)

    def on(self, share: float) -> "Pace":
        """Return the pace on a share of the frames."""
        return Pace(self.step, self.between, max(1, round(share * self.steps)))


def timed(training: Training) -> dict[str, float]:
    """Train two short epochs of our recipe and return {step, between, steps} as the second took it, for `Pace`."""
    folder = training.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    keys = [f"trainer.limit_batches={TIMED}", "trainer.max_epochs=2"]
    run([*command_of(training), *keys, f"hydra.run.dir={folder / 'run'}"], folder / "log.txt", training.threads)
    row, times = (rows(folder / "run" / name)[-1] for name in ("history.csv", "timing.csv"))
    trained = sum(each["split"] == "train" for each in rows(folder / "run/split.csv"))
    settings = yaml.safe_load((folder / "run/config.yaml").read_text(encoding="utf-8"))
    seconds, training_seconds = float(row["seconds"]), float(times["steps"])
    steps = math.ceil(trained / settings["data"]["batch_size"])
    return {"step": training_seconds / min(TIMED, steps), "between": seconds - training_seconds, "steps": steps}


def command_of(training: Training) -> list[str]:
    """Return what is typed for our recipe, but its length and folder."""
    written = yaml.safe_load((PROJECT / f"conf/experiment/{training.recipe}.yaml").read_text(encoding="utf-8"))
    rates = [f"optimizer.{key}={value * training.factor}" for key, value in written["optimizer"].items() if key.endswith("lr")]  # fmt: skip
    keys = [f"experiment={training.recipe}", f"data.root={training.root}", f"seed={training.seed}", *rates]
    hardware = ["trainer=cpu", f"trainer.threads={training.threads}", f"data.num_workers={training.workers}"]
    reports = ["logger=csv", "report.html=false", "report.train_eval=false"]  # the others score nothing of train either
    return [sys.executable, "train.py", *keys, *hardware, *reports]


def ours(training: Training, pace: Pace) -> dict[str, Any]:
    """Train this project's recipe for as many steps as the minutes have, from the beginning: a resumed epoch's seconds are not all counted."""
    folder, steps = training.folder / "run", pace.within(training.minutes)
    shutil.rmtree(folder, ignore_errors=True)
    keys = [f"trainer.max_steps={steps}", "report.predictions=true", f"hydra.run.dir={folder}"]
    run([*command_of(training), *keys], training.folder / "log.txt", training.threads)
    seconds = sum(float(row["seconds"]) for row in rows(folder / "history.csv"))
    return {"masks": str(folder / "evaluation/val/predictions/ids"), "minutes": seconds / 60, "own": f"{steps} steps"}


def loop(training: Training) -> dict[str, Any]:
    """Train one of `benchmarks/rival_loops.py`."""
    masks = training.folder / "masks"
    shutil.rmtree(masks, ignore_errors=True)
    keys: Mapping[str, object] = {
        "root": training.root, "out": masks, "minutes": training.minutes, "seed": training.seed, "lr": RATES[training.name] * training.factor,
        "weights": "lite" if training.pretrained else "none", "workers": training.workers,
    }  # fmt: skip
    typed = [each for key, value in keys.items() for each in (f"--{key}", value)]
    command = [sys.executable, "-m", "benchmarks.rival_loops", training.name, *typed]
    found = json.loads(run(command, training.folder / "log.txt", training.threads).splitlines()[-1])
    return {"masks": str(masks), "minutes": found["minutes"], "own": f"{found['steps']} steps"}


def yolo(training: Training) -> dict[str, Any]:
    """Train yolo26n-sem by the program of Ultralytics, take its last weights, and let it write its masks of val.

    Its best weights would be those that are best on val, which is scored.
    """
    folder = training.folder
    data, name = yolo_layout(training.root, folder / "data"), "yolo26n-sem.yaml"
    (folder / "settings/Ultralytics").mkdir(parents=True, exist_ok=True)
    (folder / "settings/Ultralytics/Arial.ttf").touch()  # or it would be downloaded, though nothing is drawn
    offline = {"YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(folder / "settings")}
    for made in ("train", "val", "masks"):
        shutil.rmtree(folder / made, ignore_errors=True)
    both = [f"data={data}", "imgsz=320", "batch=8", "device=cpu", f"workers={training.workers}", "plots=False", f"project={folder}", "verbose=False"]  # fmt: skip
    rates = ["optimizer=AdamW", "momentum=0.9", "warmup_bias_lr=0.0", f"lr0={RATES[training.name] * training.factor}"]
    keys = [f"model={name}", "pretrained=False", "val=False", f"time={training.minutes / 60}", f"seed={training.seed}", *rates]  # fmt: skip
    program = [training.yolo, "-c", YOLO, training.threads, "semantic"]
    run([*program, "train", *both, *keys, "name=train"], folder / "log.txt", training.threads, **offline)
    keys = [f"model={folder / 'train/weights/last.pt'}", "save_json=True"]
    printed = run([*program, "val", *both, *keys, "name=val"], folder / "val.txt", training.threads, **offline)
    in_layout(folder / "val/results", folder / "masks")
    minutes = float(rows(folder / "train/results.csv")[-1]["time"]) / 60
    return {"masks": str(folder / "masks"), "minutes": minutes, "own": own_score(printed, len(frames(training.root, "val")))}  # fmt: skip


def own_score(printed: str, count: int) -> str:
    """Return what a validation of Ultralytics prints: its mIoU and how many of the frames of val it counted. Raises ValueError."""
    found = re.findall(r"^\s*all\s+(\d+)\s+\d+\s+([\d.e-]+)\s+[\d.e-]+\s*$", printed, re.MULTILINE)
    if not found:
        raise ValueError(f"no line of scores in {printed[-500:]!r}")
    return f"mIoU {float(found[-1][1]):.3f} of {found[-1][0]} of {count} frames"


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file, skipinitialspace=True)]
