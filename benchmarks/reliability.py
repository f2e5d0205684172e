"""What exactness costs: checkpoints, resuming, two ranks, determinism. ResNet-18 at 96 px, everything as it is typed.

Run from the root: ``python benchmarks/reliability.py [--repeats 3] [--steps 48] [--batch 32]``. Prints Markdown.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import machine, markdown_table  # noqa: E402  the root must be on the path first

CLASSES, EACH = 4, 600
# Says when a process takes its first training step, and how long a checkpoint takes, then goes on.
WATCH = """
import json, os, sys, time
sys.path.insert(0, {root!r})
sys.argv = ["train.py", *sys.argv[1:]]
def say(what, seconds):
    with open(os.environ["TIMES"], "a") as file:
        file.write(json.dumps([what, seconds]) + "\\n")
def watch():
    from callbacks.step_seed import StepSeed
    from lightning.pytorch import Trainer
    plain, save, first = StepSeed.on_train_batch_start, Trainer.save_checkpoint, []
    def start(*arguments):
        if not first:
            first.append(say("first step", time.time()))
        plain(*arguments)
    def timed(*arguments, **settings):
        began = time.perf_counter()
        save(*arguments, **settings)
        say("checkpoint", time.perf_counter() - began)
    StepSeed.on_train_batch_start, Trainer.save_checkpoint = start, timed
import entry.cli.command
real = entry.cli.command.execute
entry.cli.command.execute = lambda task, request: (watch(), real(task, request))[1]
import train
train.train()
"""


def make_pictures(root: Path) -> None:
    """Classes of noise; what is in the pictures does not matter for the time."""
    for label in range(CLASSES):
        (root / str(label)).mkdir(parents=True)
        for i in range(EACH):
            noise = np.random.default_rng([label, i]).integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(noise).save(root / str(label) / f"{i}.png")


class Bench:
    """Runs train.py on the same pictures in different ways."""

    def __init__(self, folder: Path, steps: int, batch: int) -> None:
        self.folder, self.steps, self.batch = folder, steps, batch
        self.count = 0
        make_pictures(folder / "pictures")
        self.typed = ["data=image_folder", f"data.root={folder / 'pictures'}", "data.split={train: 0.94, val: 0.03, test: 0.03}", "model=resnet18",
                      "model.weights=none", "data.image_size=[96,96]", f"data.batch_size={batch}", f"data.cache_dir={folder / 'cache'}",
                      "report.train_eval=false", "data.num_workers=0", "logger=csv", "trainer.progress=false", "checkpointing.every_minutes=null"]  # fmt: skip

    def train(self, *typed: str) -> tuple[Path, list[tuple[str, float]], float]:
        """A run; its folder, what it said of times, and when it was started."""
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
        import json

        said = [tuple(json.loads(line)) for line in times.read_text().splitlines()] if times.exists() else []
        return run, said, began

    def images_per_second(self, *typed: str) -> float:
        """Of training alone: what a longer second epoch takes more than a short one, as history.csv has them."""
        short, long = (self._second_epoch(steps, *typed) for steps in (self.steps // 4, self.steps))
        return (self.steps - self.steps // 4) * self.batch / (long - short)

    def _second_epoch(self, steps: int, *typed: str) -> float:
        run, _, _ = self.train(f"trainer.limit_batches={steps}", "trainer.max_epochs=2", *typed)
        with (run / "history.csv").open() as file:
            return float(list(csv.DictReader(file))[1]["seconds"])

    def starting(self) -> dict[str, float]:
        """Seconds to the first step of a fresh run and of one resumed late in its epoch; of loading; of a checkpoint."""
        fresh, said, began = self.train(
            f"trainer.limit_batches={self.steps}", "trainer.max_epochs=1", "checkpointing.every_n_steps=4"
        )
        first = next(value for what, value in said if what == "first step") - began
        checkpoint = statistics.median(value for what, value in said if what == "checkpoint")
        # As if it had been killed late in the epoch: the last checkpoint within it.
        import torch

        within = self._killed(fresh)
        began_load = time.perf_counter()
        torch.load(within / "checkpoints/last.ckpt", weights_only=True)
        load = time.perf_counter() - began_load
        _, said, began = self.train(f"resume={within}")
        resumed = next(value for what, value in said if what == "first step") - began
        return {"fresh": first, "resumed": resumed, "load": load, "checkpoint": checkpoint}

    def _killed(self, fresh: Path) -> Path:
        """A run killed with SIGKILL when three quarters of its epoch are done."""
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
        wanted = (
            run / "checkpoints" / f"last-{self.steps * 3 // 4 // 4 * 4 - 4:08d}.ckpt"
        )  # there is a newer one beside it
        while process.poll() is None and not wanted.exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
        return run


def medians(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of each way, the ways taking turns."""
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
