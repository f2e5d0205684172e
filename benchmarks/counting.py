"""Counting a confusion matrix from masks, against OpenCV, scikit-learn and torchmetrics.

Run from the root: ``python benchmarks/counting.py [--threads 1] [--repeats 15] [--device cuda]``. Prints Markdown. With REAL_DATA
set, the masks of a street are drawn from the polygons of the real file in it.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.frames import FULL, SPACE, write_frames
from benchmarks.timing import high_water, interleaved, machine, markdown_table
from datamodules.files.masks import polygon_mask
from metrics.counting import confusion_matrix

CLASSES, SHIFT = SPACE.num_classes, 8  # pixels by which the predicted street lies beside the true one
SHAPES = {"15 % of the pixels at random": FULL, "the same, 16 pairs of 512×512": (16, 512, 512)}
# Under deterministic algorithms torchmetrics needs over 6 kB for each pixel: no more of them fit into memory.
SMALL = (135, 240)


def masks(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return a predicted and a true uint8 mask similar to road scenes, 85 % of the pixels right."""
    generator = torch.Generator().manual_seed(0)
    *batch, height, width = shape
    areas = torch.randint(0, CLASSES + 1, (*batch, height // 40 + 1, width // 40 + 1), generator=generator)
    target = areas.repeat_interleave(40, -1).repeat_interleave(40, -2)[..., :height, :width].to(torch.uint8)
    target[..., height // 2 :, width // 4 : -width // 4] = 0  # the road
    other = torch.randint(0, CLASSES + 1, shape, generator=generator, dtype=torch.uint8)
    return torch.where(torch.rand(shape, generator=generator) < 0.85, target, other), target.contiguous()


def street() -> tuple[Tensor, Tensor]:
    """Return the mask of a street, shifted and true."""
    place = os.environ.get("REAL_DATA")
    with tempfile.TemporaryDirectory() as folder:
        found = sorted(Path(place).glob("idd_polygons/gtFine/*/*/*.json")) if place else []
        if not found:
            write_frames(Path(folder), 1)
            found = [*Path(folder).glob("gtFine/*/*/*.json")]
        true = polygon_mask(found[0], SPACE)
    return torch.from_numpy(np.roll(true, SHIFT, (0, 1))), torch.from_numpy(true)


def noise() -> tuple[Tensor, Tensor]:
    """Return two masks of which every pixel is drawn."""
    draws = np.random.default_rng(0)
    prediction, target = (draws.integers(0, CLASSES + 1, FULL, dtype=np.uint8) for _ in range(2))
    return torch.from_numpy(prediction), torch.from_numpy(target)


def opencv(prediction: Tensor, target: Tensor) -> np.ndarray:
    """Count with OpenCV's two-dimensional histogram, unchecked."""
    sides = [CLASSES + 1] * 2
    pair = [each.numpy().reshape(-1, 1) for each in (target, prediction)]
    return np.asarray(cv2.calcHist(pair, [0, 1], None, sides, [0, sides[0], 0, sides[1]])).astype(np.int64)


def sklearn(prediction: Tensor, target: Tensor) -> np.ndarray:
    """Count with scikit-learn, the labels given."""
    labels = range(CLASSES + 1)
    return np.asarray(sklearn_confusion_matrix(target.numpy().ravel(), prediction.numpy().ravel(), labels=labels))


def torchmetrics(prediction: Tensor, target: Tensor) -> Tensor:
    """Count with the function behind `MulticlassConfusionMatrix`, void as one more class."""
    return multiclass_confusion_matrix(prediction, target, num_classes=CLASSES + 1)


def torchmetrics_unchecked(prediction: Tensor, target: Tensor) -> Tensor:
    """Count in the same way without validating arguments."""
    return multiclass_confusion_matrix(prediction, target, num_classes=CLASSES + 1, validate_args=False)


def ours(prediction: Tensor, target: Tensor) -> Tensor:
    """Count with the project's own function."""
    return confusion_matrix(prediction, target, CLASSES)


WAYS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "`metrics.confusion`, indices checked": ours,
    "OpenCV, `calcHist`, not checked": opencv,
    "scikit-learn": sklearn,
    "torchmetrics, as it comes": torchmetrics,
    "torchmetrics, `validate_args=False`": torchmetrics_unchecked,
}


def _measure_memory(name: str, folder: str, deterministic: bool, answer: "multiprocessing.SimpleQueue[int]") -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(deterministic)
    tiny = torch.zeros(40, dtype=torch.uint8)
    WAYS[name](tiny, tiny)  # not counting: what is loaded at the first call
    # Read, not generated here: memory freed by generating them would be reused unnoticed.
    pair = [torch.from_numpy(np.load(Path(folder) / f"{which}.npy")) for which in ("prediction", "target")]
    high_water(reset=True)
    before = high_water()
    WAYS[name](*pair)
    answer.put(high_water() - before)


def memory(name: str, shape: tuple[int, ...], deterministic: bool) -> int:
    """Return the peak bytes beyond the input, measured in a process of its own (Linux)."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for which, mask in zip(("prediction", "target"), masks(shape), strict=True):
            np.save(Path(folder) / f"{which}.npy", mask.numpy())
        process = context.Process(target=_measure_memory, args=(name, folder, deterministic, answer))
        process.start()
        process.join()
    if process.exitcode:
        raise SystemExit(f"measuring the memory of {name} ended with exit code {process.exitcode}")
    return int(answer.get())


def _memory_row(name: str) -> tuple[str, str]:
    shape = FULL
    plain = f"{memory(name, shape, False) / 1e6:.1f}"
    if not name.startswith("torchmetrics"):
        return plain, f"{memory(name, shape, True) / 1e6:.1f}"
    share = np.prod(shape) / np.prod(SMALL)
    return plain, f"{memory(name, SMALL, True) / 1e6:,.0f} for 1/{share:.0f} of the pixels"


def finished(way: Callable[[Tensor, Tensor], object], pair: tuple[Tensor, Tensor]) -> object:
    """Count and wait for the device."""
    counts = way(*pair)
    if pair[0].is_cuda:
        torch.cuda.synchronize()
    return counts


def main() -> None:
    """Measure and print; memory on the CPU only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    on_cpu = arguments.device == "cpu"
    # Other work that shares a core does not count on a CPU with one thread.
    clock = time.thread_time if on_cpu and arguments.threads == 1 else time.perf_counter
    chosen = {name: way for name, way in WAYS.items() if on_cpu or way not in (sklearn, opencv)}
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    time_of = "median CPU time" if clock is time.thread_time else "median"
    packages = machine(("torch", "torchmetrics", "scikit-learn", "opencv-python-headless", "numpy"))
    print(f"{packages}; {arguments.threads} thread(s), {time_of} of {arguments.repeats}, ways taking turns.\n")
    columns = {}
    pairs = {"a street": street(), "noise": noise()} | {title: masks(shape) for title, shape in SHAPES.items()}
    for title, both in pairs.items():
        prediction, target = (mask.to(arguments.device) for mask in both)
        pair = prediction, target
        counts = [np.asarray(torch.as_tensor(way(*pair)).cpu()) for way in chosen.values()]
        assert all(np.array_equal(counts[0], each) for each in counts)
        seconds = interleaved(
            {name: partial(finished, way, pair) for name, way in chosen.items()}, arguments.repeats, clock
        )
        quickest = next(iter(seconds.values()))
        columns[f"{title}, ms"] = [f"{1000 * each:.1f}" for each in seconds.values()]
        columns[f"{title}, ratio"] = [f"{each / quickest:.2f}" for each in seconds.values()]
    if on_cpu:
        memories = [_memory_row(name) for name in WAYS]
        columns["peak MB beyond the input (1080p)"] = [plain for plain, _ in memories]
        columns["the same, deterministic"] = [deterministic for _, deterministic in memories]
    rows = [[name, *cells] for name, *cells in zip(chosen, *columns.values(), strict=True)]
    print(markdown_table(["counting 26 classes and void", *columns], rows))


if __name__ == "__main__":
    main()
