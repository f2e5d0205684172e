"""Time from the start of a command to its first training step, against bare imports; and the time of --help.

Run: python benchmarks/starting.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import interleaved, machine, markdown_table

ROOT = Path(__file__).resolve().parents[1]
BARE = "import torch, torchvision, lightning, torchmetrics"
FIRST_STEP = """
import os, sys
sys.path.insert(0, {root!r})
from callbacks.step_seed import StepSeed
StepSeed.on_train_batch_start = lambda *_: os._exit(0)
import train
train.train()
"""


def make_images(root: Path) -> None:
    """Write two classes of forty images of noise."""
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(40):
            noise = np.random.default_rng([ord(name), i]).integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(root / name / f"{i}.png")


def call(*arguments: str, cwd: Path) -> None:
    """Run Python on the arguments and wait for it."""
    subprocess.run([sys.executable, *arguments], cwd=cwd, check=True, capture_output=True)


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_images(work / "images")
        first_step = FIRST_STEP.format(root=str(ROOT))
        data = ["data=image_folder", f"data.root={work / 'images'}", "data.num_workers=0", "model.weights=none"]
        ways = {
            "bare imports": lambda: call("-c", BARE, cwd=work),
            "train.py to the first step, logger=csv": lambda: call("-c", first_step, *data, "logger=csv", cwd=work),
            "train.py to the first step, logger=wandb": lambda: call("-c", first_step, *data, cwd=work),
            "train.py --help": lambda: call(str(ROOT / "train.py"), "--help", cwd=work),
            "train.py --cfg job": lambda: call(str(ROOT / "train.py"), "--cfg", "job", cwd=work),
        }
        seconds = interleaved(ways, repeats=5)
    print(machine(("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "wandb")), end="\n\n")
    rows = [(name, f"{value:.2f}", f"{value / seconds['bare imports']:.2f}") for name, value in seconds.items()]
    print(markdown_table(("starting, median of 5", "seconds", "of bare imports"), rows))


if __name__ == "__main__":
    main()
