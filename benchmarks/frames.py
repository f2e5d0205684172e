"""Masks from polygons, training samples from a cache, and the listing of a large root, against the plain ways.

Run from the root: ``python benchmarks/frames.py [--repeats 15]``. Prints Markdown.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import interleaved, machine, markdown_table
from datamodules.files.masks import polygon_mask
from datamodules.idd import IDDDataModule
from datamodules.loading.dataset import ImageDataset, SampleKey, TrainingBatches
from datamodules.loading.mixing import MixedDataset
from label_spaces.catalogue import load
from settings.data import DataSettings
from settings.mixing import MixingKeys

FULL, SIDE = (1080, 1920), 512
OBJECTS, CORNERS = 150, 40  # of a frame: as many as IDD's have on average, in the same order of size
DRIVES, FRAMES = 200, 100  # of the large root
SPACE = load("idd_level3")
LABELS = sorted(SPACE.labels)
MEAN, DEVIATION = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


def write_frames(root: Path, count: int) -> None:
    """Write frames of smooth noise, JPEG at 1080p, with polygons."""
    for number in range(count):
        rng = np.random.default_rng(number)
        small = rng.integers(0, 256, (68, 120, 3), dtype=np.uint8)
        image = cv2.resize(small, FULL[::-1], interpolation=cv2.INTER_CUBIC)
        objects = []
        for _ in range(OBJECTS):
            angles = np.sort(rng.uniform(0, 2 * np.pi, CORNERS))
            middle, radius = rng.uniform((0, 0), FULL[::-1]), rng.uniform(10, 200)
            corners = middle + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
            objects.append({"label": str(rng.choice(LABELS)), "polygon": corners.tolist(), "deleted": 0})
        split = "val" if number % 10 == 9 else "train"
        for kind in ("leftImg8bit", "gtFine"):
            (root / kind / split / str(number)).mkdir(parents=True)
        Image.fromarray(image).save(root / f"leftImg8bit/{split}/{number}/0_leftImg8bit.jpg", quality=90)
        content = {"imgHeight": FULL[0], "imgWidth": FULL[1], "objects": objects}
        (root / f"gtFine/{split}/{number}/0_gtFine_polygons.json").write_text(json.dumps(content))


def write_links(root: Path, source: Path) -> None:
    """Write the large root: one tiny frame under many names, as hard links."""
    Image.new("RGB", (32, 18)).save(source / "tiny.png")
    square = {"label": "road", "polygon": [[0, 0], [31, 0], [31, 17]]}
    (source / "tiny.json").write_text(json.dumps({"imgHeight": 18, "imgWidth": 32, "objects": [square]}))
    for drive in range(DRIVES):
        split = "val" if drive % 10 == 9 else "train"
        for kind, file, ending in (
            ("leftImg8bit", "tiny.png", "_leftImg8bit.png"),
            ("gtFine", "tiny.json", "_gtFine_polygons.json"),
        ):
            (root / kind / split / str(drive)).mkdir(parents=True)
            for frame in range(FRAMES):
                os.link(source / file, root / kind / split / str(drive) / f"{frame}{ending}")


def datamodule(root: Path, cache: Path, **changes: object) -> IDDDataModule:
    """Return a data module of the frames of a root, at 512²."""
    keys = {
        "name": "idd", "root": str(root), "split": "official", "split_by": "group", "label_space": "idd_level3",
        "image_size": (SIDE, SIDE), "eval_batch_size": 4, "cache_dir": str(cache), "cache": True, "select_from": "train",
    }  # fmt: skip
    return IDDDataModule(DataSettings(**keys | changes))


def plain_mask(path: Path) -> np.ndarray:
    """Draw a mask with JSON and Pillow, without checks."""
    content = json.loads(path.read_bytes())
    image = Image.new("L", (content["imgWidth"], content["imgHeight"]), SPACE.void)
    draw = ImageDraw.Draw(image)
    for thing in content["objects"]:
        draw.polygon([tuple(corner) for corner in thing["polygon"]], fill=SPACE.labels[thing["label"]])
    return np.array(image)


def plain_sample(path: Path) -> torch.Tensor:
    """Load an image as torchvision's transforms do: Pillow decodes and resizes, floats are normalised on the CPU."""
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - MEAN) / DEVIATION


def side_by_side(title: str, ways: dict[str, object], repeats: int) -> None:
    """Time ways of doing the same, the first one ours, and print a table of CPU time."""
    seconds = interleaved(ways, repeats, time.process_time)
    ours = next(iter(seconds.values()))
    rows = [[name, f"{1000 * value:.2f}", f"{value / ours:.2f}"] for name, value in seconds.items()]
    print(markdown_table([title, "ms", "ratio"], rows) + "\n")


def mixed_samples(module: IDDDataModule, **keys: float) -> MixedDataset:
    """Return the first epoch's samples, mixed as these keys of `aug` have it."""
    loader = module.training_dataloader(0)
    pairs, batches = cast(ImageDataset, loader.dataset), cast(TrainingBatches, loader.batch_sampler)
    return MixedDataset(pairs, batches, SPACE, MixingKeys(**cast(dict[str, Any], keys)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print(f"{machine(('torch', 'numpy', 'pillow'))}; one thread, median CPU time of {repeats}, ways taking turns.\n")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_frames(place / "frames", 10)
        polygons = place / "frames/gtFine/train/0/0_gtFine_polygons.json"
        assert np.array_equal(polygon_mask(polygons, SPACE), plain_mask(polygons))
        side_by_side(
            f"a mask of {OBJECTS} polygons at 1080p",
            {
                "ours, checked": lambda: polygon_mask(polygons, SPACE),
                "plain JSON and Pillow": lambda: plain_mask(polygons),
            },
            repeats,
        )
        module = datamodule(place / "frames", place / "cache")
        module.setup("fit")
        dataset, index = module.training_dataloader(0).dataset, module.indices("train")[0]
        file = module.file(module.names[index])
        mixed = mixed_samples(module, copy_paste=1.0)
        side_by_side(
            "a 512² sample of a 1080p JPEG",
            {
                "cached, image and mask": lambda: dataset[SampleKey(0, index)],
                "the same, mixed with a partner (aug.copy_paste=1)": lambda: mixed[SampleKey(0, index)],
                "Pillow, image alone": lambda: plain_sample(file),
            },
            repeats,
        )
        write_links(place / "large", place)
        datamodule(place / "large", place / "cache").prepare_training()  # checks every file and caches the result
        module, start = datamodule(place / "large", place / "cache"), time.perf_counter()
        module.prepare_training()
        print(f"{len(module.table):,} frames listed, known by name and split in {time.perf_counter() - start:.2f} s.")


if __name__ == "__main__":
    main()
