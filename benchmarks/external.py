"""Scoring a folder of predicted 1080p masks, and cutting crops out of 1080p frames.

Run from the root: ``python -m benchmarks.external [--repeats 7]``. Prints Markdown. With REAL_DATA set, the polygons are
those of the real file in it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.frames import SPACE, datamodule, write_frames
from benchmarks.timing import interleaved, machine, markdown_table
from datamodules.crop_rules import CropRules
from datamodules.files.frame_pairs import Pair, find_frames
from datamodules.files.images import read_image, resize
from datamodules.files.masks import polygon_mask
from datamodules.object_crops import ObjectCropDataModule, find_crops
from datamodules.predicted_masks import count, match
from label_spaces.catalogue import load
from settings.data import DataSettings

FRAMES, SHIFT = 80, 8  # of which a tenth is val; pixels by which the predictions lie beside the truth
PREDICTED = load("cityscapes19")


def use_real_polygons(root: Path) -> None:
    """Replace each random polygon file by the real one where REAL_DATA has it."""
    place = os.environ.get("REAL_DATA")
    found = sorted(Path(place).glob("idd_polygons/gtFine/*/*/*.json")) if place else []
    for file in root.glob("gtFine/*/*/*.json") if found else ():
        file.write_bytes(found[0].read_bytes())
    print(f"Polygons of {'a real file' if found else 'random shapes'}.\n")


def write_predictions(root: Path, folder: Path) -> None:
    """Write a mask in Cityscapes' ids for each frame of val: the truth under other classes, shifted."""
    of_truth = np.append(np.arange(SPACE.num_classes) % PREDICTED.num_classes, PREDICTED.void).astype(np.uint8)
    ids = np.array(PREDICTED.id_of_index(), dtype=np.uint8)
    for file in root.glob("gtFine/val/*/*.json"):
        predicted = np.roll(ids[of_truth[polygon_mask(file, SPACE)]], SHIFT, axis=(0, 1))
        (folder / file.parent.name).mkdir(parents=True)
        Image.fromarray(predicted).save(
            folder / file.parent.name / file.name.replace("polygons.json", "labelTrainIds.png")
        )
        truth = polygon_mask(file, SPACE)
        ready = np.array(SPACE.id_of_index(), dtype=np.uint8)[truth]
        Image.fromarray(truth).save(file.with_name(file.name.replace("polygons.json", "truth.png")))
        Image.fromarray(ready).save(file.with_name(file.name.replace("polygons.json", "labellevel3Ids.png")))


Pairs = Sequence[tuple[Path, Path]]  # masks of truth, and predictions in other ids
INDEX_OF = PREDICTED.index_of_id()


def of_rows_and_columns(pairs: Pairs) -> np.ndarray:
    """Count pixel by pixel in arrays."""
    matrix = np.zeros((SPACE.num_classes + 1, PREDICTED.num_classes + 1), dtype=np.int64)
    for paths in pairs:
        true, predicted = (np.asarray(Image.open(path)) for path in paths)
        for row in range(true.shape[0]):
            for column in range(true.shape[1]):
                matrix[true[row, column], INDEX_OF[predicted[row, column]]] += 1
    return matrix


def of_lists(pairs: Pairs, matrix: Any) -> np.ndarray:
    """Count into an array, or into lists, which are faster in Python."""
    for paths in pairs:
        for true, predicted in zip(*(np.asarray(Image.open(path)).ravel().tolist() for path in paths), strict=True):
            matrix[true][INDEX_OF[predicted]] += 1
    return np.array(matrix)


def scoring(root: Path, folder: Path, cache: Path) -> dict[str, Callable[[], object]]:
    """Return ways to count the pixels of val, from the files to the matrix (T+1, S+1)."""
    module = datamodule(root, cache)
    module.prepare_split("val")
    matches = match([module.names[index] for index in module.indices("val")], [], folder)
    truth = root / "gtFine/val"
    pairs = [
        (truth / file.parent.name / file.name.replace("labelTrainIds", "truth"), file)
        for file in sorted(folder.glob("*/*.png"))
    ]
    rows, columns = SPACE.num_classes + 1, PREDICTED.num_classes + 1

    def ours() -> object:
        return count(module, "val", matches, PREDICTED).confusion

    def decoding() -> object:
        return [np.asarray(Image.open(file)) for _, file in pairs]

    return {
        "`evaluate.py predictions=`: polygons drawn, masks decoded, checked, counted": ours,
        "the same on one core": on_one_core(ours),
        "decoding the predictions alone, one core": on_one_core(decoding),
        "a Python loop over rows and columns of arrays": lambda: of_rows_and_columns(pairs),
        "a Python loop over lists of pixels, counting in an array": lambda: of_lists(
            pairs, np.zeros((rows, columns), int)
        ),
        "a Python loop over lists of pixels, counting in lists": lambda: of_lists(
            pairs, [[0] * columns for _ in range(rows)]
        ),
    }


def scoring_files(root: Path, folder: Path, cache: Path) -> dict[str, Callable[[], object]]:
    """Return ways to count the pixels of val where truth is in PNG files too."""
    module = datamodule(root, cache, masks="files")
    module.prepare_split("val")
    matches = match([module.names[index] for index in module.indices("val")], [], folder)
    files = [*root.glob("gtFine/val/*/*_labellevel3Ids.png"), *folder.glob("*/*.png")]

    def ours() -> object:
        return count(module, "val", matches, PREDICTED).confusion

    def decoding() -> object:
        return [np.asarray(Image.open(file)) for file in files]

    return {"decoding both masks": decoding, "`evaluate.py predictions=`: decoded, checked, counted": ours}


def on_one_core(way: Callable[[], object]) -> Callable[[], object]:
    """Return the same way, with all its threads on one core."""

    def pinned() -> object:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
        try:
            return way()
        finally:
            os.sched_setaffinity(0, cores)

    return pinned


def cutting(root: Path, cache: Path) -> tuple[int, dict[str, Callable[[], object]]]:
    """Return the number of objects in the training frames, and ways to make crops of all of them."""
    module = ObjectCropDataModule(
        DataSettings(
            name="idd", root=str(root), split={"train": 0.7, "val": 0.1, "test": 0.2}, image_size=(64, 64),
            eval_batch_size=1, cache_dir=str(cache),
        ),
        rules=CropRules(train=1, train_groups=1, evaluation=1),
    )  # fmt: skip
    frames: list[Pair] = find_frames(root)
    names = [crop.name for crop in find_crops(root, frames, module.rules)[0]]

    def cut() -> None:
        for name in names:
            resize(module.read(name), module.settings.image_size)

    def choose() -> None:
        find_crops(root, frames, module.rules)

    def both() -> None:
        choose()
        cut()

    def decode() -> None:
        for frame in frames:
            read_image(root / frame.name)

    ways = {"crops, from files to 64×64": both, "which objects, by the rules": choose, "cutting": cut}
    return len(names), {**ways, "decoding the frames alone": decode}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print(f"{machine(('torch', 'numpy', 'pillow'))}; median of {repeats}, ways taking turns.\n")
    with tempfile.TemporaryDirectory() as folder:
        root, predictions, cache = (Path(folder, name) for name in ("frames", "predictions", "cache"))
        write_frames(root, FRAMES)
        use_real_polygons(root)
        write_predictions(root, predictions)
        ways = scoring(root, predictions, cache)
        ours, by_hand = (np.asarray(list(ways.values())[place]()) for place in (0, -1))
        assert (ours == by_hand).all(), "the ways must count the same"
        number = len(list(predictions.glob("*/*.png")))
        seconds = interleaved(ways, repeats)
        first = next(iter(seconds.values()))
        rows = [[name, f"{1000 * value / number:.1f}", f"{value / first:.2f}"] for name, value in seconds.items()]
        print(markdown_table(["a pair of 1080p masks, 26 classes beside 19", "ms", "time, of the first"], rows) + "\n")
        ready = scoring_files(root, predictions, cache)
        assert (np.asarray([*ready.values()][1]()) == by_hand).all(), "the ways must count the same"
        seconds = interleaved({name: on_one_core(way) for name, way in ready.items()}, repeats, time.process_time)
        first = next(iter(seconds.values()))
        rows = [[name, f"{1000 * value / number:.1f}", f"{value / first:.2f}"] for name, value in seconds.items()]
        print(
            markdown_table(["the same with truth in PNG files, one core", "CPU ms", "time, of the first"], rows) + "\n"
        )
        objects, cuts = cutting(root, cache)
        seconds = interleaved({name: on_one_core(way) for name, way in cuts.items()}, repeats)
        rows = [[name, f"{1000 * value / FRAMES:.1f}", f"{objects / value:.0f}"] for name, value in seconds.items()]
        print(markdown_table([f"one core, {objects} objects of {FRAMES} frames", "ms a frame", "objects/s"], rows))


if __name__ == "__main__":
    main()
