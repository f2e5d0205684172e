"""What counting the calibration adds to an evaluation of masks; and how often its interval covers, and how wide it is.

Run from the root: ``python -m benchmarks.calibration [--repeats 5] [--device cuda] [--simulations 500]``. Prints Markdown.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import interleaved, machine, markdown_table
from callbacks.calibration import Calibration
from label_spaces.space import LabelSpace
from lightning_modules import schedules
from lightning_modules.losses import CrossEntropy
from lightning_modules.networks.deeplabv3 import deeplabv3_mobilenet_v3_large
from lightning_modules.segmentation import SegmentationModule
from metrics.calibration import BINS, BITS, calibration_error, calibration_interval, calibration_rows


@dataclass(frozen=True)
class Case:
    """Frames of a size and a network."""

    name: str
    classes: int
    size: tuple[int, int]
    frames: int
    network: Callable[[int], nn.Module]


def one_layer(classes: int) -> nn.Module:
    """Return the cheapest network there is: any real one makes the share of the calibration smaller."""
    return nn.Conv2d(3, classes, 1)


CASES = (
    Case("DeepLabV3-MobileNetV3, 8 frames of 320×227, 7 classes", 7, (227, 320), 8, deeplabv3_mobilenet_v3_large),
    Case("one convolution, 8 frames of 320×227, 7 classes", 7, (227, 320), 8, one_layer),
    Case("DeepLabV3-MobileNetV3, a frame of 1920×1080, 26 classes", 26, (1080, 1920), 1, deeplabv3_mobilenet_v3_large),
    Case("one convolution, a frame of 1920×1080, 26 classes", 26, (1080, 1920), 1, one_layer),
)


def ways(case: Case, device: str) -> dict[str, Callable[[], Any]]:
    """Return an evaluation of a batch on the device, without and with all that the calibration needs."""
    generator = torch.Generator().manual_seed(0)
    space = LabelSpace("classes", tuple(f"class {i}" for i in range(case.classes)))
    module = SegmentationModule(
        network=case.network(case.classes).to(memory_format=torch.channels_last),
        label_space=space,
        normalisation=((0.5,) * 3, (0.25,) * 3),
        optimizer=torch.optim.SGD,
        scheduler=schedules.constant,
        loss=CrossEntropy(case.classes),
    )
    module.eval().to(device)
    areas = torch.randint(0, case.classes + 1, (case.frames, 1, 12, 20), generator=generator).float()
    batch = {
        "image": torch.randint(0, 256, (case.frames, 3, *case.size), generator=generator, dtype=torch.uint8).to(device),
        "target": functional.interpolate(areas, case.size).to(torch.uint8)[:, 0].to(device),
        "index": torch.arange(case.frames, device=device),
        "counted": True,
    }
    calibration = Calibration(range(case.frames), [f"drive {i}" for i in range(case.frames)], case.classes)
    calibration.on_test_start(cast(Any, None), module)

    def run(*, calibrated: bool) -> float:
        with torch.inference_mode():
            # In the stream of the validation the module leaves the confidence out.
            found = module.evaluate_batch(batch, "test" if calibrated else "val")
            if calibrated:
                calibration.on_test_batch_end(cast(Any, None), module, found, batch)
            return found["finite"].sum().item()  # waits for the device

    return {"without": partial(run, calibrated=False), "with": partial(run, calibrated=True)}


def cost(repeats: int, device: str) -> None:
    """Print the time of evaluating a batch, and of making the rows of calibration.csv."""
    rows = []
    for case in CASES:
        # Time of the processor, on one thread: other work on the machine hardly changes it.
        seconds = interleaved(ways(case, device), repeats, time.process_time if device == "cpu" else time.perf_counter)
        added = seconds["with"] - seconds["without"]
        rows.append([case.name, *(f"{1e3 * each:.0f}" for each in (*seconds.values(), added)), f"{seconds['with'] / seconds['without']:.2f}"])  # fmt: skip
    print(markdown_table(["a batch, ms", "without", "with", "added", "ratio"], rows))
    sums = np.random.default_rng(0).integers(1, 1000, (200, 3, 27, 2, BINS))
    names = [f"class {i}" for i in range(26)]
    seconds = interleaved({"rows": lambda: calibration_rows(sums, names, ("all", "boundary", "interior"))}, repeats)
    print(f"\nThe rows of calibration.csv of 26 classes and 200 drives, with intervals: {seconds['rows']:.2f} s, from {sums.nbytes / 1e6:.0f} MB of sums.\n")  # fmt: skip


def drives(
    rng: np.random.Generator, number: int, excess: float, spread: float, spread_of_bins: float = 0
) -> np.ndarray:
    """Return (G, 3, 15) sums of drives whose elements are right with a probability of confidence - excess + noise.

    The noise is the drive's own, with a standard deviation of `spread`, and that of the drive and the bin.
    """
    sums = np.zeros((number, 3, BINS), np.int64)
    for drive, size in enumerate(rng.geometric(1 / 300, number)):
        confidence = rng.beta(6, 2, size)
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        noise = spread * rng.normal() + spread_of_bins * rng.normal(size=BINS)[bins]
        right = rng.random(size) < confidence - excess + noise
        for kind, weight in enumerate((np.ones(size), right, np.rint(confidence * 2**BITS))):
            sums[drive, kind] = np.bincount(bins, weight, BINS)
    return sums


def coverage(simulations: int) -> None:
    """Print how often the interval has the error of 4,000 drives, and its width over that of an oracle."""
    rows = []
    for spread, spread_of_bins in ((0.1, 0), (0.35, 0), (0.1, 0.2)):
        for number in (15, 60, 180):
            for excess in (0, 0.05, 0.15):
                rng = np.random.default_rng(1)
                true = float(calibration_error(drives(rng, 4000, excess, spread, spread_of_bins).sum(0)))
                found = [calibration_interval(drives(rng, number, excess, spread, spread_of_bins)) for _ in range(simulations)]  # fmt: skip
                low, high, error = (np.array([getattr(each, name) for each in found]) for name in ("low", "high", "error"))  # fmt: skip
                covered = float(((low <= true) & (true <= high)).mean())
                width = float((high - low).mean() / (2 * 1.96 * error.std()))
                rows.append([f"{spread}, {spread_of_bins}", str(number), f"{true:.3f}", f"{error.mean():.3f}", f"{covered:.1%}", f"{width:.2f}"])  # fmt: skip
    print(markdown_table(["noise of a drive, and of its bins", "drives", "true error", "mean estimate", "covers", "width, of the oracle's"], rows))  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--simulations", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{machine(('torch', 'torchvision', 'numpy'))}; {torch.get_num_threads()} threads, median of {options.repeats}.\n"
    )
    cost(options.repeats, options.device)
    coverage(options.simulations)


if __name__ == "__main__":
    main()
