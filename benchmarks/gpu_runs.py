"""Checks of whole runs on one device: evaluations that agree, training that repeats, and a killed run that goes on bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
WAIT = 300  # seconds for a run's first checkpoint


def command(name: str, *typed: str) -> list[str]:
    """Return a command line of the project."""
    return [sys.executable, str(ROOT / f"{name}.py"), *typed]


def environment() -> dict[str, str]:
    """Return the environment of a command that needs no network."""
    return {**os.environ, "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1"}


def run(name: str, *typed: str) -> None:
    """Run a command. Raises RuntimeError with its last lines where it fails."""
    answer = subprocess.run(command(name, *typed), env=environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{name}.py {' '.join(typed)} ended with {answer.returncode}: {answer.stderr[-2000:]}")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the last weights of a run."""
    state: dict[str, torch.Tensor] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True, map_location="cpu")["state_dict"]  # fmt: skip
    return state


def differing(one: Path, other: Path) -> list[str]:
    """Return the names of the weights in which two runs differ in any bit."""
    first, second = weights(one), weights(other)
    return [name for name in first if not torch.equal(first[name], second[name])]


def evaluations_agree(folder: Path) -> str:
    """Evaluate a run twice more; return in what the evaluations differ from its own one, or nothing."""
    place = folder / "evaluation" / "test"
    found = [_evaluation(place)]
    for _ in range(2):
        run("evaluate", f"run={folder}", "report.html=false")
        found.append(_evaluation(place))
    first, *others = found
    return ", ".join(sorted({name for other in others for name in first if first[name] != other[name]}))


def _evaluation(place: Path) -> dict[str, object]:
    with np.load(place / "per_sample.npz") as columns:
        samples = {name: columns[name].tobytes() for name in columns.files}
    scores = json.loads((place / "scores.json").read_text())
    names = ("accuracy", "f1_macro", "loss", "intervals", "classes")
    return {**samples, **{name: scores[name] for name in names}, "confusion": (place / "confusion.csv").read_text()}


def killed_and_resumed(folder: Path, typed: Sequence[str]) -> None:
    """Kill a run with SIGKILL once it has a checkpoint in the middle of an epoch, and let it go on to its end."""
    process = subprocess.Popen(
        command("train", *typed, f"hydra.run.dir={folder}"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + WAIT
    while not (folder / "checkpoints" / "last.ckpt").exists():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(
                f"{folder}: the run that was to be killed wrote no checkpoint (exit code {process.poll()})"
            )
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run("train", f"resume={folder}")
