"""Images without truth, for prediction: files, folders, patterns, lists; one that cannot be read is reported, not raised."""

import difflib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from datamodules.errors import DatasetError, shortened
from datamodules.files.image_files import find_images, visible, visible_images
from datamodules.files.images import RGB, read_image, resize
from datamodules.files.other_files import is_video, remedy
from datamodules.loading.dataset import make_loader
from datamodules.splits.listed import SAMPLE_COLUMNS, first_named
from label_spaces.csv_reader import CSVError, read_table, read_text

LISTS = frozenset({".txt", ".lst", ".list", ".csv", ".tsv"})
MOST_NAMED = 10  # sources that a message names
VIDEOS_TOO = " Or predict all their frames: source=VIDEO, or a pattern such as source='FOLDER/*.mp4'."


def find_pictures(sources: Sequence[str], ignored: Counter[str]) -> list[Path]:
    """Return the pictures and videos that sources refer to, each once, in the order of the sources.

    A source is a picture, a video, a folder (all pictures below it, sorted), a pattern such as ``photos/*.jpg``, or a list: a text
    file with a source in each line, relative to the list's folder or to the working directory, or a CSV with a column of
    files. `ignored` counts by kind what is left out. Raises DatasetError naming every source without a picture.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for source in sources:
        try:
            found.update(dict.fromkeys(_pictures(Path(source), ignored)))
        except DatasetError as error:
            problems.append(str(error))
    if problems:
        raise DatasetError(shortened(problems, MOST_NAMED, "\n"))
    return list(found)


def _pictures(source: Path, ignored: Counter[str]) -> list[Path]:
    if source.is_dir():
        others: Counter[str] = Counter()
        below = (source / name for name in find_images(source, others, follow_links=False))
        pictures = sorted(path for path in below if path.is_file())
        if not pictures:
            advice = remedy(others) + (VIDEOS_TOO if others["videos"] else "")
            raise DatasetError(f"source={source}: no pictures in this folder or below it. {advice}".strip())
        ignored.update(others)
        return pictures
    if source.is_file():
        return _listed(source, ignored) if source.suffix.lower() in LISTS else [source]
    if not source.exists() and any(sign in str(source) for sign in "*?["):
        return _matching(source, ignored)
    near = difflib.get_close_matches(source.name, [path.name for path in source.parent.glob("*")], n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise DatasetError(f"source={source}: there is no such file or folder.{hint}")


def _matching(pattern: Path, ignored: Counter[str]) -> list[Path]:
    """Return the visible pictures and videos that match a pattern, and those below folders that do. Raises DatasetError for none."""
    try:
        matches = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # such as **x
        matches = []
    hidden = {path for path in matches for part in path.parts if part.startswith(".") and part not in pattern.parts}
    files = [path for path in matches if path.is_file()]
    pictures = [path for path in files if is_video(path) or visible_images(path.parent, [path.name], ignored)]
    folders = [path for path in matches if path.is_dir() and visible([path.name], ignored)]
    below = sorted(folder / name for folder in folders for name in find_images(folder, ignored, follow_links=False))
    found = [path for path in (*pictures, *below) if path.is_file() and path not in hidden]
    if not found:
        raise DatasetError(f"source={pattern}: no picture matches this pattern.")
    return found


def _listed(source: Path, ignored: Counter[str]) -> list[Path]:
    """Return the pictures that a list file refers to. Raises DatasetError naming all its lines without one."""
    try:
        if source.suffix.lower() in {".csv", ".tsv"}:
            table = read_table(source)
            if (column := first_named(table, SAMPLE_COLUMNS)) is None:
                raise DatasetError(
                    f"source={source} has no column of files, such as file; it has {', '.join(table.columns)}."
                )
            lines = [(row.line, row.cells[column]) for row in table.rows]
        else:
            lines = list(enumerate(read_text(source).splitlines(), start=1))
    except CSVError as error:
        raise DatasetError(f"source={error}.") from error
    found: dict[Path, None] = {}
    problems = []
    for number, line in lines:
        entry = line.strip().strip('"')
        if not entry or entry.startswith("#"):
            continue
        beside = source.parent / Path(entry).expanduser()
        try:
            place = beside if beside.exists() else Path(entry).expanduser().absolute()
            found.update(dict.fromkeys(_pictures(place, ignored)))
        except DatasetError as error:
            problems.append(f"line {number}: {str(error).removeprefix('source=')}")
    if problems:
        raise DatasetError(f"source={source}:\n  {shortened(problems, MOST_NAMED, chr(10) + '  ')}")
    if not found:
        raise DatasetError(f"source={source}: this list names no pictures; write the path of one in each line.")
    return list(found)


@dataclass(frozen=True, eq=False)
class Pictures(Dataset[dict[str, Any]]):
    """Pictures, files or arrays (H, W, 3), resized to (height, width); an item that cannot be read has a reason instead."""

    images: Sequence[Path | RGB]
    image_size: tuple[int, int]
    bits: int | None = None  # as in `read_image`

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            image = self.images[index]
            pixels = read_image(image, self.bits) if isinstance(image, Path) else image
        except DatasetError as error:
            return {"index": index, "reason": str(error)}
        resized = torch.from_numpy(resize(pixels, self.image_size)).permute(2, 0, 1)
        return {"index": index, "image": resized, "size": pixels.shape[:2]}


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a batch of the readable items, and by index why others are not: see `picture_loader`."""
    good = [item for item in items if "image" in item]
    images: Tensor | None = torch.stack([item["image"] for item in good]) if good else None
    return {
        "image": images,
        "size": [item["size"] for item in good],
        "index": torch.tensor([item["index"] for item in good], dtype=torch.int64),
        "unreadable": {item["index"]: item["reason"] for item in items if "reason" in item},
    }


def picture_loader(
    paths: Sequence[Path],
    image_size: tuple[int, int],
    batch_size: int,
    num_workers: int | None,
    bits: int | None = None,
) -> DataLoader[dict[str, Any]]:
    """Return batches of pictures: image (B, 3, H, W) uint8 or None, size of each, index (B,), and by index why some are unreadable.

    `num_workers` processes read, None: as many as the cores allow; `bits` as in `read_image`. Raises DatasetError where
    they lack shared memory.
    """
    pictures, size = Pictures(paths, image_size, bits), batch_size * math.prod(image_size) * 3
    # One batch is read before a worker has started.
    requested = num_workers if len(paths) > batch_size else 0
    batches = BatchSampler(SequentialSampler(pictures), batch_size, drop_last=False)
    return make_loader(pictures, batches, requested, pin_memory=False, batch_bytes=size, collate_fn=collate)
