"""Evaluating DeepLabV3-ResNet-50 at 512² as evaluate.py does, against a plain loop; and the memory that evaluating takes.

Run from the root: ``python benchmarks/evaluating.py [--frames 8] [--repeats 3] [--trainer gpu] [--counts 400 1600 6400]``. Prints Markdown.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torchmetrics.classification import MulticlassConfusionMatrix
from torchvision.models.segmentation import deeplabv3_resnet50

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import high_water, interleaved, machine, markdown_table
from datamodules.segmentation import SegmentationDataModule
from entry.builders.modules import build_datamodule, build_module
from entry.builders.trainer import build_trainer
from entry.checkpoint import Checkpoint
from entry.config.resolve import resolved
from entry.evaluation.evaluate import collect, predict_split
from entry.hardware import choose
from entry.request import Request
from label_spaces.catalogue import load
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD
from metrics.counts import Counts
from reports.evaluation import scores_of
from run_folder import RunFolder
from settings.run import RunSettings

ROOT = Path(__file__).resolve().parents[1]
SIDE, TINY = 512, (32, 48)
SPACE = load("idd_level3")
IDS = np.array([*(SPACE.ids or range(SPACE.num_classes)), SPACE.void_ids[0]], np.uint8)
MEAN, DEVIATION = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))


def write_frames(root: Path, count: int, size: tuple[int, int], noise: float = 0.0) -> None:
    """Write frames of smooth noise, and `noise` in each pixel, with masks of a dozen areas: two for train and val each, `count` for test."""
    for split, number in (("train", 2), ("val", 2), ("test", count)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for i in range(number):
            rng = np.random.default_rng([len(split), number, i])
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image = cv2.resize(coarse, size[::-1]) + rng.normal(0, noise, (*size, 3))
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / split / f"{i}.jpg", quality=90)
            areas = IDS[rng.integers(0, len(IDS), (3, 4))]
            mask = cv2.resize(areas, size[::-1], interpolation=cv2.INTER_NEAREST)
            Image.fromarray(mask).save(root / "masks" / split / f"{i}.png")


def configuration(folder: Path, *typed: str, model: str = "deeplabv3_resnet50") -> RunSettings:
    """Return the settings of train.py for the frames in a folder, with the default batch size."""
    words = ["data=mask_folder", f"data.root={folder / 'frames'}", "data.split=folders", f"data.label_space={SPACE.name}",
             f"model={model}", "model.weights=none", f"data.cache_dir={folder / 'cache'}", "data.num_workers=0",
             "trainer.progress=false", "logger=csv", *typed]  # fmt: skip
    OmegaConf.register_new_resolver("project", lambda path: str(ROOT / path), replace=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolved(Request(compose("train", overrides=words), tuple(words), folder, folder_was_typed=True))


def evaluating(
    settings: RunSettings, folder: Path, datamodule: SegmentationDataModule, module: SupervisedModule
) -> Callable[[], Counts]:
    """Return a way to run `Trainer.test` on the split with everything counted."""
    hardware = choose(settings.trainer)

    def run() -> Counts:
        trainer = build_trainer(settings, hardware, RunFolder(folder), headline=module.headline)
        return predict_split(trainer, module, datamodule)

    return run


def plain_loop(root: Path, state: dict[str, torch.Tensor], device: str) -> Callable[[], np.ndarray]:
    """Return a plain loop: float32, a frame at a time, the same weights, torchmetrics with its defaults."""
    network = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=SPACE.num_classes, aux_loss=True)
    network.load_state_dict(state)
    network.eval().to(device)
    mean, deviation = MEAN.to(device), DEVIATION.to(device)
    classes = np.full(256, SPACE.void, np.uint8)
    classes[IDS] = np.arange(len(IDS))

    def run() -> np.ndarray:
        metric = MulticlassConfusionMatrix(SPACE.num_classes + 1).to(device)
        with torch.no_grad():
            for path in sorted((root / "images/test").iterdir()):
                image = (
                    torch.from_numpy(np.array(Image.open(path).convert("RGB"))).to(device).permute(2, 0, 1).float()
                    / 255
                )
                mask = classes[np.array(Image.open(root / f"masks/test/{path.stem}.png"))]
                logits = network(((image - mean) / deviation)[None])["out"]
                metric.update(logits.argmax(1), torch.from_numpy(mask)[None].to(device))
        return np.asarray(metric.compute().cpu())

    return run


def time_ways(frames: int, repeats: int, side: int, trainer: str) -> None:
    """Time our evaluation in the hardware's precision and in float32, and the plain loop, in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder / "frames", frames, (side, side))
        typed = f"trainer={trainer}", f"data.image_size=[{side},{side}]"
        auto, single = (configuration(folder, *typed, *more) for more in ((), ("trainer.precision=32-true",)))
        datamodule = build_datamodule(auto)
        assert isinstance(datamodule, SegmentationDataModule)
        datamodule.prepare_training()
        module, _ = build_module(auto, datamodule.label_space, "none")
        state = {
            key: value.clone(memory_format=torch.contiguous_format)
            for key, value in module.network.state_dict().items()
        }
        precision = choose(auto.trainer).precision
        ways: dict[str, Callable[[], Any]] = {
            f"evaluate.py: {precision}, channels_last, batches of {auto.data.eval_batch_size}": evaluating(
                auto, folder, datamodule, module
            ),
            "evaluate.py with trainer.precision=32-true": evaluating(single, folder, datamodule, module),
            "plain loop: float32, NCHW, a frame at a time": plain_loop(
                folder / "frames", state, "cuda" if trainer == "gpu" else "cpu"
            ),
        }
        found: dict[str, Any] = {}
        seconds = interleaved({way: partial(_keep, found, way, run) for way, run in ways.items()}, repeats)
    # The same frames, the same truth, each once; in float32 the same predictions.
    ours, single_ours, theirs = found.values()
    assert np.array_equal(ours.confusion.sum(1), theirs.sum(1))
    moved = np.abs(single_ours.confusion - theirs).sum() / 2 / theirs.sum()
    ours_seconds = next(iter(seconds.values()))
    rows = [[way, f"{value / frames:.3g}", f"{value / ours_seconds:.2f}"] for way, value in seconds.items()]
    print(markdown_table([f"DeepLabV3-ResNet-50 at {side}², {frames} frames", "s/frame", "time, of the first"], rows))
    print(f"\nIn float32 ours and the plain loop count {1 - moved:.4%} of the pixels alike.\n")


def _keep(found: dict[str, Any], way: str, run: Callable[[], Any]) -> None:
    found[way] = run()


class OneLayer(nn.Module):
    """A network of negligible memory, so that the frames' memory is measured."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, SPACE.num_classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits at the size of the images."""
        return torch.as_tensor(self.layer(images))


def _measure_memory(folder: Path, answer: "multiprocessing.SimpleQueue[dict[str, int]]") -> None:
    torch.set_num_threads(1)
    typed = (f"data.image_size=[{TINY[0]},{TINY[1]}]", "trainer.threads=1", "trainer=cpu", "data.cache=false")
    settings = configuration(folder, *typed)
    peaks = {}
    high_water(reset=True)
    datamodule = build_datamodule(settings)
    assert isinstance(datamodule, SegmentationDataModule)
    datamodule.prepare_training()
    peaks["listed, checked and split"] = high_water(reset=True)
    module, _ = build_module(settings, datamodule.label_space, "none")
    module.network = OneLayer()
    high_water(reset=True)
    counts = evaluating(settings, folder, datamodule, module)()
    peaks["evaluated"] = high_water(reset=True)
    origin = Checkpoint(folder / "best.ckpt", 0, 0, {}, datamodule.label_space).origin
    scores_of(collect(settings, RunFolder(folder), origin, datamodule, "test", counts))
    peaks["scored, with intervals and baselines"] = high_water()
    answer.put(peaks)


def memory(count: int) -> dict[str, int]:
    """Return the peak bytes of a process at each stage of evaluating `count` tiny frames (Linux)."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder) / "frames", count, TINY)
        process = context.Process(target=_measure_memory, args=(Path(folder), answer))
        process.start()
        process.join()
    if process.exitcode:
        raise SystemExit(f"measuring the memory of {count} frames ended with exit code {process.exitcode}")
    return dict(answer.get())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=[400, 1600, 6400])
    parser.add_argument("--trainer", choices=("cpu", "gpu"), default="cpu")
    options = parser.parse_args()
    print(f"{machine(('torch', 'torchvision', 'lightning', 'torchmetrics', 'numpy'))}; median of {options.repeats}.\n")
    time_ways(options.frames, options.repeats, options.side, options.trainer)
    peaks = {count: memory(count) for count in options.counts}
    fewest, most = min(peaks), max(peaks)
    rows = [
        [
            stage,
            *(f"{peaks[count][stage] / 1e6:.0f}" for count in peaks),
            f"{(peaks[most][stage] - peaks[fewest][stage]) / max(1, most - fewest) / 1e3:.1f}",
        ]
        for stage in peaks[most]
    ]
    header = ["peak MB of the process, tiny frames without drives", *(f"{count:,} frames" for count in peaks)]
    print(markdown_table([*header, f"kB per frame from {fewest:,} to {most:,}"], rows))


if __name__ == "__main__":
    main()
