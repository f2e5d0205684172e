"""ResNet-18 at 96 px through the project's own trainer, against bare PyTorch loops on the same batches.

Run from the root: ``python benchmarks/training.py [--steps 12] [--repeats 5] [--batch 32] [--trainer gpu]``. Prints Markdown.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import interleaved, machine, markdown_table
from callbacks.checkpoints import Checkpoints
from callbacks.signals import StopSignal
from entry.builders.modules import build_datamodule, build_module
from entry.builders.trainer import build_trainer
from entry.config.resolve import resolved
from entry.hardware import choose
from entry.request import Request
from lightning_modules.networks.resnet import resnet18
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD
from run_folder import RunFolder
from settings.run import RunSettings

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 8


def make_images(root: Path, count: int) -> None:
    """Write classes of noise; the content of the images does not affect the time."""
    for label in range(CLASSES):
        (root / str(label)).mkdir(parents=True)
        for i in range(count // CLASSES):
            noise = np.random.default_rng([label, i]).integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(noise).save(root / str(label) / f"{i}.png")


class Stopwatch(Callback):
    """Times the steps of an epoch after the first; validation is switched off."""

    seconds = 0.0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Start after the first step."""
        if trainer.global_step == 1:
            self.began = now(trainer.strategy.root_device)
        elif trainer.global_step == trainer.limit_train_batches:
            self.seconds = now(trainer.strategy.root_device) - self.began


def now(device: torch.device) -> float:
    """Return the time at which the device has computed everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def configuration(folder: Path, images: Path, steps: int, precision: str, batch: int, trainer: str) -> RunSettings:
    """Return the settings of train.py."""
    typed = ["data=image_folder", f"data.root={images}", "model=resnet18", "model.weights=none", "data.image_size=[96,96]", f"data.batch_size={batch}",
             f"trainer={trainer}", "trainer.max_epochs=1", f"trainer.precision={precision}", f"data.cache_dir={folder / 'cache'}", "logger=csv",
             f"trainer.limit_batches={steps}", "trainer.progress=false", "data.num_workers=0"]  # fmt: skip
    OmegaConf.register_new_resolver("project", lambda path: str(ROOT / path), replace=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolved(Request(compose("train", overrides=typed), tuple(typed), folder, folder_was_typed=True))


def ours(settings: RunSettings, folder: Path) -> Callable[[], float]:
    """Return a way to train an epoch with the project's classes; it returns the seconds of the steps after the first."""
    machine_ = choose(settings.trainer)
    datamodule = build_datamodule(settings)
    datamodule.prepare_training()

    def run() -> float:
        space, steps = datamodule.label_space, datamodule.steps_per_epoch
        module, _ = build_module(settings, space, "none", share=settings.data.batch_size, total_steps=steps)
        trainer = build_trainer(settings, machine_, RunFolder(folder), headline=module.headline, signal=StopSignal())
        watch = Stopwatch()
        trainer.callbacks.append(watch)
        trainer.limit_val_batches = 0
        trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, Checkpoints)]
        trainer.fit(module, datamodule=datamodule)
        return watch.seconds

    return run


def bare(settings: RunSettings, *, bf16: bool, channels_last: bool, steps: int) -> Callable[[], float]:
    """Return a loop without any framework on the same batches."""
    datamodule = build_datamodule(settings)
    datamodule.prepare_training()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    device = torch.device("cuda" if settings.trainer.accelerator == "gpu" else "cpu")
    mean, std = mean.to(device), std.to(device)

    def run() -> float:
        network = resnet18(CLASSES).to(device, memory_format=layout)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True if device.type == "cuda" else None)
        began = 0.0
        for step, batch in enumerate(datamodule.training_dataloader(0)):
            if step == steps:
                break
            images, target = (batch[name].to(device, non_blocking=True) for name in ("image", "target"))
            images = ((images.float() - mean) / std).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = torch.nn.functional.cross_entropy(network(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            began = now(device) if step == 0 else began
        return now(device) - began

    return run


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--trainer", choices=("cpu", "gpu"), default="cpu")
    arguments = parser.parse_args()
    batch = arguments.batch
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "images", max(800, 2 * batch * arguments.steps))
        auto = configuration(folder, folder / "images", arguments.steps, "bf16-mixed", batch, arguments.trainer)
        ways = {
            "bare loop, bf16, channels_last": bare(auto, bf16=True, channels_last=True, steps=arguments.steps),
            "idd-lightning, bf16, channels_last": ours(auto, folder),
            "bare loop, fp32, NCHW": bare(auto, bf16=False, channels_last=False, steps=arguments.steps),
        }
        seconds = measured(ways, arguments.repeats)
    print(machine(("torch", "torchvision", "lightning", "numpy")), end="\n\n")
    images = batch * (arguments.steps - 1)
    reference = seconds["bare loop, bf16, channels_last"]
    rows = [(name, f"{images / value:.0f}", f"{value / reference:.2f}") for name, value in seconds.items()]
    print(markdown_table((f"ResNet-18, 96 px, batch {batch}", "images/s", "time, of the first"), rows))


def measured(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Return the median seconds that each way reports; the ways take turns."""
    reported: dict[str, list[float]] = {name: [] for name in ways}
    interleaved({name: lambda n=name: reported[n].append(ways[n]()) for name in ways}, repeats)
    return {name: float(np.median(values[1:])) for name, values in reported.items()}


if __name__ == "__main__":
    main()
