"""Training loops of others, and ours, on the same pictures in memory: images per second and peak memory."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix
from torchvision.models import resnet18
from torchvision.models.segmentation import deeplabv3_resnet50

from benchmarks.timing import interleaved
from benchmarks.training import ROOT, now
from callbacks.checkpoints import Checkpoints
from callbacks.signals import StopSignal
from entry.builders.modules import build_datamodule, build_module
from entry.builders.trainer import build_trainer
from entry.config.resolve import resolved
from entry.hardware import choose
from entry.request import Request
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD
from metrics.counting import confusion_matrix
from run_folder import RunFolder
from settings.run import RunSettings


@dataclass(frozen=True)
class Work:
    """A network and its pictures: side in pixels, samples of a step, steps, of which the first `skipped` are not timed."""

    name: str
    side: int
    batch: int
    steps: int
    skipped: int
    classes: int
    segments: bool
    typed: tuple[str, ...]


@dataclass(frozen=True)
class Speed:
    """Images per second, and the peak bytes of the device (0 on a CPU)."""

    rate: float
    memory: int


class Watch(Callback):
    """Times the steps after the first ones; with `strict` an operation that waits for the GPU within these is an error."""

    def __init__(self, work: Work, *, strict: bool = False) -> None:
        self.work, self.strict, self.began, self.seconds = work, strict, 0.0, 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        """Begin to be strict once everything is warm."""
        if self.strict and index >= self.work.skipped:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Start after the first steps, and stop after the last."""
        if self.strict:
            torch.cuda.set_sync_debug_mode("default")
        if index + 1 == self.work.skipped:
            self.began = now(trainer.strategy.root_device)
        elif index + 1 == self.work.steps:
            self.seconds = now(trainer.strategy.root_device) - self.began


def settings_of(*typed: str) -> RunSettings:
    """Return the settings of train.py for what is typed."""
    OmegaConf.register_new_resolver("project", lambda path: str(ROOT / path), replace=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", list(typed))
    return resolved(Request(config, typed, Path("unused"), folder_was_typed=False))


def ours(
    work: Work, images: Path, folder: Path, device: str, precision: str, *typed: str, strict: bool = False
) -> Speed:
    """Train an epoch with the project's own trainer."""
    common = ("logger=csv", "trainer.max_epochs=1", f"trainer.limit_batches={work.steps}", "trainer.progress=false", "model.weights=none",
              "report.train_eval=false", "data.split={train:0.98,val:0.01,test:0.01}", f"data.cache_dir={folder / 'cache'}")  # fmt: skip
    settings = settings_of(
        *work.typed, f"data.root={images}", f"data.image_size=[{work.side},{work.side}]", f"data.batch_size={work.batch}",
        f"trainer={device}", f"trainer.precision={precision}", *common, *typed,
    )  # fmt: skip
    hardware, datamodule = choose(settings.trainer), build_datamodule(settings)
    datamodule.prepare_training()
    total = datamodule.steps_per_epoch
    module, _ = build_module(settings, datamodule.label_space, "none", share=work.batch, total_steps=total, precision=hardware.precision)  # fmt: skip
    trainer = build_trainer(settings, hardware, RunFolder(folder), headline=module.headline, signal=StopSignal())
    watch = Watch(work, strict=strict)
    trainer.callbacks = [watch, *(each for each in trainer.callbacks if not isinstance(each, Checkpoints))]
    trainer.limit_val_batches = 0
    reset_memory(device)
    trainer.fit(module, datamodule=datamodule)
    return Speed(work.batch * (work.steps - work.skipped) / watch.seconds, peak_memory(device))


def bare(work: Work, device: str, precision: str, *, like_timm: bool) -> Speed:
    """Train as the reference scripts of torchvision (float32 batches, loss read at each step) or of timm (uint8, channels_last)."""
    place = torch.device("cuda" if device == "gpu" else "cpu")
    layout = torch.channels_last if like_timm else torch.contiguous_format
    network = _network(work, like_timm=like_timm).to(place, memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    half = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    scaler = torch.amp.GradScaler(place.type, enabled=half == torch.float16)
    mean, std = (torch.tensor(values, device=place).view(1, 3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    reset_memory(device)
    began = 0.0
    for step, batch in enumerate(itertools.islice(_batches(work, place, as_float=not like_timm), work.steps)):
        images, target = (each.to(place, non_blocking=True) for each in batch)
        if like_timm:
            images = ((images.float() - mean) / std).contiguous(memory_format=layout)
        with torch.autocast(place.type, half):
            logits = network(images)
            loss = nn.functional.cross_entropy(logits["out"] if work.segments else logits, target.long())
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if not like_timm:
            loss.item()
        if step + 1 == work.skipped:
            began = now(place)
    return Speed(work.batch * (work.steps - work.skipped) / (now(place) - began), peak_memory(device))


def _network(work: Work, *, like_timm: bool) -> nn.Module:
    if work.segments:
        return deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=work.classes)
    return timm.create_model("resnet18", num_classes=work.classes) if like_timm else resnet18(num_classes=work.classes)


def _batches(work: Work, place: torch.device, *, as_float: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches that are in pinned memory already: nothing is read or decoded."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (work.batch, 3, work.side, work.side), generator=draws, dtype=torch.uint8)
    shape = (work.batch, work.side, work.side) if work.segments else (work.batch,)
    target = torch.randint(0, work.classes, shape, generator=draws, dtype=torch.uint8)
    batch = (images.float() / 255 if as_float else images, target)
    while True:
        yield tuple(each.pin_memory() for each in batch) if place.type == "cuda" else batch  # type: ignore[misc]


def reset_memory(device: str) -> None:
    """Forget the peak so far."""
    if device == "gpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> int:
    """Return the most bytes of tensors on the device since `reset_memory`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "gpu" else 0


def counting(device: str, size: tuple[int, int], classes: int = 26) -> tuple[dict[str, float], bool]:
    """Count a pair of masks of blocks, ours and torchmetrics'; return the seconds of each, and whether they agree."""
    place = torch.device("cuda" if device == "gpu" else "cpu")
    draws = np.random.default_rng(0)
    blocks = [draws.integers(0, classes, (-(-size[0] // 40), -(-size[1] // 40))).repeat(40, 0).repeat(40, 1)[: size[0], : size[1]] for _ in range(2)]  # fmt: skip
    prediction, target = (torch.from_numpy(each.astype(np.uint8)).to(place) for each in blocks)
    wide = prediction.long(), target.long()
    ways: dict[str, Callable[[], Tensor]] = {
        "idd-lightning": lambda: confusion_matrix(prediction, target, classes),
        "torchmetrics": lambda: multiclass_confusion_matrix(*wide, classes, validate_args=False),
    }
    agree = torch.equal(ways["idd-lightning"]()[:-1, :-1].cpu(), ways["torchmetrics"]().cpu())
    timed = {name: (lambda way=way: (way(), now(place))) for name, way in ways.items()}
    return interleaved(timed, 10), agree
