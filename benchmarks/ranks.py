"""The measured part of benchmarks/scaling.py: batches dealt to ranks that are processes, and what reading a sample costs."""

import json
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.timing import interleaved, markdown_table
from datamodules.files.image_cache import cached_images
from datamodules.files.images import read_image, resize, resize_mask
from datamodules.files.masks import polygon_mask
from datamodules.loading.dataset import EvaluationBatches, TrainingBatches
from label_spaces.catalogue import load
from metrics.counting import confusion_matrix

CLASSES = 26
POLYGONS, CORNERS = 150, 20  # of a frame: about as many as IDD's have


def rank_share(count: int, batch: int, world: int, rank: int) -> tuple[list[int], list[int], list[list[int]], float]:
    """Return what a rank gets of an epoch: counted ids of training and of evaluation, its matrix, and seconds of the dealing."""
    began = time.process_time()
    training = [key for keys in TrainingBatches(range(count), batch, 0, 0, rank=rank, world_size=world) for key in keys]
    seconds = time.process_time() - began
    matrix, evaluated = torch.zeros(CLASSES + 1, CLASSES + 1, dtype=torch.int64), []
    for keys in EvaluationBatches(range(count), batch // world, rank, world):
        if keys[0].counted:
            evaluated += [key.sample for key in keys]
    for keys in EvaluationBatches(range(min(count, 10_000)), 8, rank, world):
        if keys[0].counted:
            # What a network predicts of a sample may depend on its batch: these pixels follow from all of it.
            draws = np.random.default_rng([key.sample for key in keys])
            pixels = torch.from_numpy(draws.integers(0, CLASSES + 1, (2, len(keys), 16), np.uint8))
            matrix += confusion_matrix(*pixels, CLASSES)
    return [key.sample for key in training if key.counted], evaluated, matrix.tolist(), seconds


@dataclass(frozen=True)
class Dealt:
    """What all ranks got together."""

    training: Counter[int]  # how often each id
    evaluation: Counter[int]
    matrix: list[list[int]]
    seconds: float  # the median rank's, of a core


def deal(count: int, batch: int, world: int) -> Dealt:
    """Deal an epoch to so many processes at once, one for each rank."""
    context = multiprocessing.get_context("fork")

    def work(rank: int, pipe: Any) -> None:
        torch.set_num_threads(1)
        pipe.send(rank_share(count, batch, world, rank))

    pipes = [context.Pipe() for _ in range(world)]
    processes = [context.Process(target=work, args=(rank, pipe[1])) for rank, pipe in enumerate(pipes)]
    for process in processes:
        process.start()
    parts = [pipe[0].recv() for pipe in pipes]
    for process in processes:
        process.join()
    training, evaluation = (Counter(each for part in parts for each in part[kind]) for kind in (0, 1))
    matrix = torch.tensor([part[2] for part in parts]).sum(0).tolist()
    return Dealt(training, evaluation, matrix, sorted(part[3] for part in parts)[world // 2])


def dealing(epochs: Mapping[int, int], worlds: Sequence[int]) -> str:
    """Return a row for each number of ranks (the first is 1) of epochs of so many samples by `data.batch_size`."""
    rows = []
    for batch, count in epochs.items():
        first, once = None, Counter(range(count))
        for world in worlds:
            found = deal(count, batch, world)
            first = first or found.matrix
            checks = (found.training == once, found.evaluation == once, found.matrix == first)
            said = ("yes" if each else "NO" for each in checks)
            rows.append((f"{world}", f"{count:,}", f"{batch:,}", *said, f"{1e3 * found.seconds:.0f}"))
    checked = ("each trained once", "each evaluated once", "matrix of one rank")
    return markdown_table(("ranks", "samples", "data.batch_size", *checked, "an epoch's order, ms a rank"), rows)


def make_files(folder: Path) -> None:
    """Write a blurred picture as PNG and JPEG, a part of it as a photo, and a polygon file."""
    draws = np.random.default_rng(0)
    picture = cv2.GaussianBlur(draws.integers(0, 256, (1080, 1920, 3), np.uint8), (0, 0), 2)
    for name, pixels in {"frame.png": picture, "frame.jpg": picture, "photo.jpg": picture[:375, :500]}.items():
        cv2.imwrite(str(folder / name), pixels)
    corners = draws.uniform((0, 0), (1820, 980), (POLYGONS, 1, 2)) + draws.uniform(0, 200, (POLYGONS, CORNERS, 2))
    objects = [{"label": "car", "polygon": polygon.tolist()} for polygon in corners]
    content = {"imgHeight": 1080, "imgWidth": 1920, "objects": objects}
    (folder / "polygons.json").write_text(json.dumps(content), encoding="utf-8")


def reading(taken: Mapping[str, float], repeats: int = 15) -> str:
    """Return the milliseconds of one core for a sample of each source, files being in memory, beside those that are `taken`."""
    cv2.setNumThreads(1)
    space = load("idd_level3")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        shapes = {"frame": (540, 960, 4), "photo": (224, 224, 3)}
        caches = {
            kind: cached_images(folder / f"{kind}.npy", 64, shape, lambda _, shape=shape: np.zeros(shape, np.uint8))
            for kind, shape in shapes.items()
        }

        def frame(ending: str) -> None:
            resize(read_image(folder / f"frame.{ending}", None), (540, 960))
            resize_mask(polygon_mask(folder / "polygons.json", space), (540, 960))

        def cached(kind: str) -> None:
            np.array(caches[kind][time.perf_counter_ns() % 64])

        ways = (
            lambda: frame("png"),
            lambda: frame("jpg"),
            lambda: cached("frame"),
            lambda: resize(read_image(folder / "photo.jpg", None), (224, 224)),
            lambda: cached("photo"),
        )
        found = interleaved(dict(zip(taken, ways, strict=True)), repeats, time.process_time)
    rows = [(source, f"{1e3 * seconds:.2f}", f"{taken[source]:g}") for source, seconds in found.items()]
    return markdown_table(("a sample of", "measured, ms of a core", "taken for the model, ms"), rows)
