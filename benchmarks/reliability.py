"""The cost of exactness: checkpoints, resuming, two ranks, determinism. ResNet-18 at 96 px, in whole processes.

Run from the root: ``python benchmarks/reliability.py [--repeats 3] [--steps 48] [--batch 32]``. Prints Markdown.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import machine, markdown_table  # noqa: E402  the root must be on the path first

CLASSES, EACH = 4, 600
# Records when a process takes its first training step and how long each checkpoint takes.
WATCH = """
import json, os, sys, time
sys.path.insert(0, {root!r})
sys.argv = ["train.py", *sys.argv[1:]]
from callbacks.step_seed import StepSeed
from lightning.pytorch import Trainer
plain, save, first = StepSeed.on_train_batch_start, Trainer.save_checkpoint, []
def record(what, seconds):
    with open(os.environ["TIMES"], "a") as file:
        file.write(json.dumps([what, seconds]) + "\\n")
def start(*arguments):
    if not first:
        first.append(record("first step", time.time()))
    plain(*arguments)
def timed(*arguments, **settings):
    began = time.perf_counter()
    save(*arguments, **settings)
    record("checkpoint", time.perf_counter() - began)
StepSeed.on_train_batch_start, Trainer.save_checkpoint = start, timed
import train
train.train()
"""


def make_images(root: Path) -> None:
    """Write classes of noise; the content of the images does not affect the time."""
    for label in range(CLASSES):
        (root / str(label)).mkdir(parents=True)
        for i in range(EACH):
            noise = np.random.default_rng([label, i]).integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(noise).save(root / str(label) / f"{i}.png")


class Bench:
    """Runs train.py on the same images in different ways."""

    def __init__(self, folder: Path, steps: int, batch: int) -> None:
        self.folder, self.steps, self.batch = folder, steps, batch
        self.count = 0
        make_images(folder / "images")
        self.typed = ["data=image_folder", f"data.root={folder / 'images'}", "data.split={train: 0.94, val: 0.03, test: 0.03}", "model=resnet18",
                      "model.weights=none", "data.image_size=[96,96]", f"data.batch_size={batch}", f"data.cache_dir={folder / 'cache'}",
                      "report.train_eval=false", "data.num_workers=0", "logger=csv", "trainer.progress=false", "checkpointing.every_minutes=null"]  # fmt: skip

    def train(self, *typed: str) -> tuple[Path, list[tuple[str, float]], float]:
        """Run train.py; return the run's folder, the recorded times, and when it was started."""
        self.count += 1
        run, times = self.folder / f"run-{self.count}", self.folder / f"times-{self.count}"
        resumed = any(word.startswith("resume=") for word in typed)
        words = list(typed) if resumed else [f"hydra.run.dir={run}", *self.typed, *typed]
        environment = {**os.environ, "TIMES": str(times), "NO_ALBUMENTATIONS_UPDATE": "1"}
        began = time.time()
        subprocess.run(
            [sys.executable, "-c", WATCH.format(root=str(ROOT)), *words],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
        recorded = [tuple(json.loads(line)) for line in times.read_text().splitlines()] if times.exists() else []
        return run, recorded, began

    def images_per_second(self, *typed: str) -> float:
        """Return the rate of training alone, from the difference of a long and a short second epoch in history.csv."""
        short, long = (self._second_epoch(steps, *typed) for steps in (self.steps // 4, self.steps))
        return (self.steps - self.steps // 4) * self.batch / (long - short)

    def _second_epoch(self, steps: int, *typed: str) -> float:
        run, _, _ = self.train(f"trainer.limit_batches={steps}", "trainer.max_epochs=2", *typed)
        with (run / "history.csv").open() as file:
            return float(list(csv.DictReader(file))[1]["seconds"])

    def starting(self) -> dict[str, float]:
        """Return seconds to the first step of a fresh run and of one resumed late in its epoch, to load and to save."""
        fresh, recorded, began = self.train(
            f"trainer.limit_batches={self.steps}", "trainer.max_epochs=1", "checkpointing.every_n_steps=4"
        )
        first = next(value for what, value in recorded if what == "first step") - began
        checkpoint = statistics.median(value for what, value in recorded if what == "checkpoint")
        within = self._killed(fresh)
        began_load = time.perf_counter()
        torch.load(within / "checkpoints/last.ckpt", weights_only=True)
        load = time.perf_counter() - began_load
        _, recorded, began = self.train(f"resume={within}")
        resumed = next(value for what, value in recorded if what == "first step") - began
        return {"fresh": first, "resumed": resumed, "load": load, "checkpoint": checkpoint}

    def _killed(self, fresh: Path) -> Path:
        """Kill a run with SIGKILL when three quarters of its epoch are done; return its folder."""
        run = fresh.with_name(f"{fresh.name}-killed")
        words = [
            f"hydra.run.dir={run}",
            *self.typed,
            f"trainer.limit_batches={self.steps}",
            "trainer.max_epochs=1",
            "checkpointing.every_n_steps=4",
        ]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # When the checkpoint before the last one exists, the last one is complete.
        wanted = run / "checkpoints" / f"last-{self.steps * 3 // 4 // 4 * 4 - 4:08d}.ckpt"
        while process.poll() is None and not wanted.exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
        return run


def medians(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return the median of each way; the ways take turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(way())
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.steps, options.batch)
        bench.train("trainer.limit_batches=1", "trainer.max_epochs=1")  # fills the caches
        starts = [bench.starting() for _ in range(options.repeats)]
        start = {key: statistics.median(each[key] for each in starts) for key in starts[0]}
        ways = {
            "one process, all cores": bench.images_per_second,
            "two gloo ranks on the same cores": lambda: bench.images_per_second("trainer=ddp_cpu", "trainer.devices=2"),
            "one process, trainer.deterministic=true": lambda: bench.images_per_second("trainer.deterministic=true"),
        }
        speed = medians(ways, options.repeats)
    print(machine(("torch", "torchvision", "lightning", "numpy")), end="\n\n")
    reference = speed["one process, all cores"]
    rows = [(way, f"{value:.0f}", f"{value / reference:.2f}") for way, value in speed.items()]
    print(
        markdown_table((f"ResNet-18, 96 px, batch {options.batch}, precision auto", "images/s", "of the first"), rows),
        end="\n\n",
    )
    limit = start["fresh"] + start["load"]
    print(markdown_table(("starting and saving", "seconds"), [
        ("fresh start to the first step", f"{start['fresh']:.2f}"),
        ("resumed at three quarters of an epoch, to the first new step", f"{start['resumed']:.2f}"),
        ("loading the checkpoint", f"{start['load']:.2f}"),
        ("resumed, of fresh plus loading", f"{start['resumed'] / limit:.2f}"),
        ("writing a checkpoint", f"{start['checkpoint']:.2f}"),
        ("writing one every 60 s, of the training time", f"{start['checkpoint'] / 60:.1%}"),
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
