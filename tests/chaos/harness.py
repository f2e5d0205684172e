"""Start runs, kill them at chosen moments, resume them, and compare every bit."""

import contextlib
import csv
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from callbacks.checkpoints import Checkpoints
from tests.conftest import make_image_folder, make_mask_folder

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).resolve().parent / "site"
PATIENCE = 240  # seconds within which any run of this suite must end
WIDTH = 12
# Augmentation, dropout, a schedule that changes at every step, class weights, and a last batch that is smaller.
COMMON = ("data.batch_size=8", "loss.class_weights=balanced", "trainer.max_epochs=3", "trainer.precision=32-true",
          "trainer.deterministic=true", "trainer.threads=1", "checkpointing.every_n_steps=2", "logger=csv")  # fmt: skip
GPU = ("trainer.accelerator=gpu",)
RECIPES = {
    "classification": ("data=image_folder", "data.image_size=[24,24]", "data.eval_batch_size=6", "aug=flip_rotate",
                       "model.network.dropout=0.3", "scheduler=cosine"),
    "segmentation": ("data=mask_folder", "data.classes=[sky,road,car]", "data.image_size=[32,48]", "data.eval_batch_size=3",
                     "model=deeplabv3_mobilenet_v3_large", "model.weights=none", "aug=road", "loss.name=ohem", "optimizer=sgd",
                     "scheduler=poly", "ema.decay=0.9"),  # sgd: a checkpoint of two thirds of adam's size
}  # fmt: skip
HARD = {"a": (100, 100, 100), "b": (108, 100, 100), "c": (100, 108, 100)}  # classes that are not learnt in an epoch


@dataclass
class Setting:
    """A run's number of ranks, of workers before and after the stop, further overrides, and task."""

    ranks: int = 1
    workers: int = 0
    workers_after: int = 0
    extra: tuple[str, ...] = ()
    task: str = "classification"

    @property
    def typed(self) -> list[str]:
        """The overrides except the data and the folder."""
        trainer = ["trainer=cpu"] if self.ranks == 1 else ["trainer=ddp_cpu", f"trainer.devices={self.ranks}"]
        return [*trainer, *RECIPES[self.task], *COMMON, *self.extra]


@dataclass
class Killed:
    """The phase that a kill interrupted, how the run was resumed, and how its results differ."""

    phase: str
    seconds: float
    resumed_from: str = ""
    differences: list[str] = field(default_factory=list)


def make_data(root: Path, task: str) -> Path:
    """Write the training data of a task: 8 steps per epoch for classification, 4 for segmentation."""
    return (
        make_image_folder(root, per_class=30, classes=HARD) if task == "classification" else make_mask_folder(root, 40)
    )


def undisturbed(folders: pytest.TempPathFactory, data: Mapping[str, Path]) -> Callable[..., Path]:
    """Return a function that returns an undisturbed run of a task, number of ranks and overrides; each is made once."""

    @functools.cache
    def of(task: str, ranks: int, *extra: str) -> Path:
        run = folders.mktemp("reference") / "run"
        finish(train(run, data[task], Setting(ranks, task=task, extra=extra)))
        return run

    return of


def start(*arguments: str, phase_file: Path | None = None) -> subprocess.Popen[str]:
    """Start train.py in a process group of its own."""
    environment = {**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1"}
    if phase_file is not None:
        environment |= {"CHAOS_PHASE": str(phase_file), "PYTHONPATH": str(SITE)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a run that must succeed; return its output."""
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    return out


def train(folder: Path, data: Path, setting: Setting, phase_file: Path | None = None) -> subprocess.Popen[str]:
    """Start a new run."""
    return start(
        f"hydra.run.dir={folder}", f"data.root={data}", f"data.num_workers={setting.workers}", *setting.typed, phase_file=phase_file
    )  # fmt: skip


def resume(folder: Path, setting: Setting, phase_file: Path | None = None) -> subprocess.Popen[str]:
    """Start resuming a run."""
    return start(f"resume={folder}", f"data.num_workers={setting.workers_after}", phase_file=phase_file)


def phase_of(file: Path) -> str:
    """Return the phase that the run has written last."""
    return file.read_text().strip() if file.exists() else "start"


def kill(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL to the whole process group: no handler runs, as in a crash."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def at_second(seconds: float) -> Callable[[subprocess.Popen[str], Path], bool]:
    """Return a function that waits for a time, and returns whether the run is still alive then."""

    def wait(process: subprocess.Popen[str], _: Path) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    return wait


def in_phase(phase: str, occurrence: int, delay: float = 0.0) -> Callable[[subprocess.Popen[str], Path], bool]:
    """Return a function that waits until `delay` after the n-th time that the run enters a phase."""

    def wait(process: subprocess.Popen[str], phase_file: Path) -> bool:
        seen, before, until = 0, "", time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < until:
            now = phase_of(phase_file)
            seen += now == phase != before
            if seen >= occurrence:
                time.sleep(delay)
                return process.poll() is None
            before = now
            time.sleep(0.001)
        return False

    return wait


def kill_and_resume(
    work: Path,
    data: Path,
    setting: Setting,
    moments: list[Callable[[subprocess.Popen[str], Path], bool]],
    reference: Path,
) -> list[Killed]:
    """Kill a run at each of the moments, resuming in between, let it finish, and compare it with the reference."""
    folder, phase_file = work / "run", work / "phase"
    shutil.rmtree(folder, ignore_errors=True)
    kills: list[Killed] = []
    for moment in moments:
        phase_file.unlink(missing_ok=True)
        # Killed before it had a folder, a run cannot be resumed: it is started again.
        known = (folder / "config.yaml").exists()
        began = time.monotonic()
        process = resume(folder, setting, phase_file) if known else train(folder, data, setting, phase_file)
        if not moment(process, phase_file):
            finish(process)
            break
        kills.append(Killed(phase_of(phase_file), time.monotonic() - began))
        kill(process)
    if not (folder / "config.yaml").exists():
        finish(train(folder, data, setting))
    output = finish(resume(folder, setting))
    going = [line for line in output.splitlines() if line.startswith("note: Going on") or "no checkpoint yet" in line]
    differences = compare(reference, folder)
    for killed in kills:
        killed.resumed_from, killed.differences = " ".join(going), differences
    return kills


@contextlib.contextmanager
def signal_after(step: int, number: int = signal.SIGTERM) -> Iterator[None]:
    """Send a signal to this process after an optimiser step of any training within this context."""
    plain = Checkpoints.on_train_batch_end

    def end(self, trainer, *arguments):
        if trainer.global_step == step:
            os.kill(os.getpid(), number)
        plain(self, trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", end)
        yield


def compare(one: Path, other: Path) -> list[str]:
    """Return what differs between two finished runs."""
    found = []
    for name in ("best", "last"):
        a, b = (torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for run in (one, other))
        for part in ("state_dict", "current_state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
            found += [f"{name}.ckpt {where}" for where in _different(a.get(part), b.get(part), part)]
    histories = []
    for run in (one, other):
        with (run / "history.csv").open() as file:
            histories.append([{**row, "seconds": None} for row in csv.DictReader(file)])
    if histories[0] != histories[1]:
        found.append("history.csv")
    scores = [json.loads((run / "evaluation/test/scores.json").read_text()) for run in (one, other)]
    found += [f"scores.json {key}" for key in scores[0] if key != "run" and scores[0][key] != scores[1].get(key)]
    for name in ("confusion.csv", "per_class.csv", "per_sample.npz"):
        if (one / "evaluation/test" / name).read_bytes() != (other / "evaluation/test" / name).read_bytes():
            found.append(name)
    left = [p.name for p in other.rglob("*") if p.name.endswith((".tmp", ".new", ".old")) or p.name.startswith("last-")]
    return found + [f"left behind: {name}" for name in left]


def _different(a: object, b: object, where: str) -> list[str]:
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        return [found for key in a | b for found in _different(a.get(key), b.get(key), f"{where}.{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [found for i, pair in enumerate(zip(a, b, strict=True)) for found in _different(*pair, f"{where}.{i}")]
    return [] if a == b else [where]


def draw(seed: int, wall: float, count: int) -> list[float]:
    """Return moments uniformly distributed over a run's wall time, in seconds."""
    generator = random.Random(seed)  # noqa: S311  nothing secret
    return [generator.uniform(0.0, wall) for _ in range(count)]
