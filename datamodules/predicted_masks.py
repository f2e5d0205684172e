"""Masks that any tool has predicted: matched with a dataset's frames by name, and compared with their truth."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

import torch

from datamodules.errors import FEWEST, NAMED, DatasetError, Defect, grouped, shortened
from datamodules.files.audit import in_threads
from datamodules.files.idd_polygons import IMAGES
from datamodules.files.image_files import find_images
from datamodules.files.images import resize_mask
from datamodules.files.layouts import IMAGES as IMAGE_FOLDER
from datamodules.files.layouts import NOT_CLASSES, suffixes
from datamodules.files.masks import ARRAYS, Mask, UnknownIdsError, image_mask
from datamodules.segmentation import SegmentationDataModule
from label_spaces.catalogue import advice, base_of
from label_spaces.crosswalk import find
from label_spaces.space import LabelSpace, LabelSpaceError, normalised
from metrics.counting import confusion_matrix
from metrics.counts import Counts
from metrics.per_sample import MaskRecords
from metrics.regions import RegionConfusion, confusion_by_region, region_sizes
from settings.base import as_typed

# The endings of IDD, IDD-Lite, IDD-AW and Cityscapes after the name that a frame's files have in common.
_ENDINGS = re.compile(r"_(gtFine_[A-Za-z0-9]+|leftImg8bit|image|label|rgb)$")
LISTED = 20  # causes that a message lists of each kind of problem

SEPARATOR = "\n  "

Pixels = tuple[int, int]  # height, width
Key = tuple[str, ...]  # the folders of a file, and the frame's part of its name


@dataclass
class Matches:
    """The predicted masks of frames."""

    folder: Path
    files: dict[str, str] = field(default_factory=dict)  # by the frame's name, relative to the folder
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unused: int = 0  # masks of known frames that are not scored

    @property
    def note(self) -> str:
        """A sentence for the user, or an empty one."""
        return f"{self.unused} masks of frames that are not scored are left aside" if self.unused else ""


def match(wanted: Iterable[str], others: Iterable[str], folder: Path) -> Matches:
    """Find the mask of each frame: by the frame's own name, or by IDD's (``<drive>/<frame>_gtFine_….png``).

    A suffix such as ``_pred`` that all masks have is left out of their names where these are then those of more frames.
    Folders in a name are compared as far as both names have them: ``<frame>.png`` is enough where it is unambiguous.
    Masks of `others`, further frames, are left aside. Raises DatasetError where there is no folder, or no image in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"predictions={folder}: there is no such folder.")
    files = sorted(find_images(folder, further=ARRAYS))
    if not files:
        raise DatasetError(f"predictions={folder}: no image files in this folder; give the folder of the masks.")
    wanted = dict.fromkeys(wanted)
    frames: dict[str, dict[Key, str]] = defaultdict(dict)
    for name in (*wanted, *others):
        key = _key(name)
        key = key[{IMAGES: 2, IMAGE_FOLDER: 1}.get(key[0], 0) :]  # without leftImg8bit/<split>, and images
        frames[key[-1]].setdefault(key, name)
    found, keys = Matches(folder), {file: _key(file) for file in files}
    suffix = _shared_suffix([key[-1] for key in keys.values()], frames)
    for file, (*above, name) in keys.items():
        key = (*above, name.removesuffix(suffix))
        fitting = _best(key, frames.get(key[-1], {}))
        if not fitting:
            found.problems["belong to no frame of the dataset"].append(file)
        elif len(fitting) > 1:
            both = " and ".join(sorted(fitting)[:2])
            found.problems["fit several frames; put them into a folder per drive"].append(f"{file} ({both})")
        elif fitting[0] not in wanted:
            found.unused += 1
        elif fitting[0] in found.files:
            found.problems["are second masks of a frame"].append(f"{file} (beside {found.files[fitting[0]]})")
        else:
            found.files[fitting[0]] = file
    found.problems["frames have no mask"] += [name for name in wanted if name not in found.files]
    return found


def count(datamodule: SegmentationDataModule, split: str, matches: Matches, space: LabelSpace) -> Counts:
    """Compare the masks, of the label space `space`, with a split's truth.

    Each frame is compared at its own size, or at the `data.eval_size` that was set. Returns the counts in the T classes
    of the data and the S of the masks. Raises DatasetError with everything that is wrong with any mask.
    """
    places = {datamodule.table.samples[index].name: index for index in datamodule.table.indices(split)}
    sides = datamodule.label_space.num_classes, space.num_classes
    records, regions = MaskRecords(*sides), RegionConfusion(*sides)
    unknown: set[int] = set()

    def compare(name: str) -> torch.Tensor | Defect | tuple[Pixels, Pixels]:
        file = matches.files[name]
        try:
            truth, predicted = datamodule.read_mask(name), image_mask(matches.folder / file, space)
        except DatasetError as error:
            unknown.update(error.ids if isinstance(error, UnknownIdsError) else ())
            return Defect(file, str(error).removeprefix(f"{matches.folder / file}: "))
        frame, given = (truth.shape[0], truth.shape[1]), (predicted.shape[0], predicted.shape[1])
        size = datamodule.settings.eval_size or frame
        if given not in (frame, size):
            return given, frame
        return _counted(datamodule, resize_mask(truth, size), resize_mask(predicted, size), space)

    unreadable: list[Defect] = []
    sizes: dict[tuple[Pixels, Pixels], list[str]] = defaultdict(list)
    names = [name for name in places if name in matches.files]
    for name, counts in zip(names, in_threads(compare, names, "Checking predictions"), strict=True):
        if isinstance(counts, Defect):
            unreadable.append(counts)
            continue
        if isinstance(counts, tuple):
            sizes[counts].append(matches.files[name])
            continue
        if datamodule.region_sizes:
            regions.update(counts[None])
        index, loss = torch.tensor([places[name]]), torch.tensor([torch.nan])
        records.update(index=index, matrices=counts.sum(0)[None], loss=loss)
    if unknown and records.update_called:  # the ids in the masks that could be read
        predicted = records.counts().confusion.sum(axis=0)[:-1].tolist()
        unknown |= {identity for identity, pixels in zip(space.id_of_index(), predicted, strict=False) if pixels}
    problems = _of_other_sizes(sizes, datamodule.settings.eval_size)
    if unreadable:
        causes = shortened(grouped(unreadable), LISTED, SEPARATOR)
        problems.append(f"{len(unreadable)} cannot be read or hold what is no class:{SEPARATOR}{causes}")
    way_out = _way_out(unknown, space, datamodule.label_space) if unknown else ""
    _refuse(matches, problems, f"{split} of {datamodule.settings.name}", space, way_out)
    return replace(records.counts(), regions=regions.compute() if datamodule.region_sizes else None)


def _counted(datamodule: SegmentationDataModule, truth: Mask, predicted: Mask, space: LabelSpace) -> torch.Tensor:
    """Return (1, T+1, S+1) counts of a frame, or (4, T+1, S+1) by the sizes of regions, void first."""
    target, prediction = torch.from_numpy(truth), torch.from_numpy(predicted)
    ours = datamodule.label_space
    if datamodule.region_sizes:
        region = torch.from_numpy(region_sizes(truth, ours.void))
        parts = confusion_by_region(prediction[None], target[None], region[None], ours.num_classes, space.num_classes)
        return parts[0]
    return confusion_matrix(prediction, target, ours.num_classes, space.num_classes)[None]


def _way_out(ids: set[int], space: LabelSpace, target: LabelSpace) -> str:
    """Return what to type where masks have ids that `space` lacks: label spaces that lead to the data's classes."""

    def leads(other: LabelSpace) -> bool:
        try:
            return base_of(other.name) == base_of(target.name) or bool(find(other, target))
        except LabelSpaceError:
            return False

    return advice(ids, space, "predictions_label_space", "predictions_void_ids", leads)


def _refuse(matches: Matches, problems: list[str], what: str, space: LabelSpace, way_out: str) -> None:
    """Raise DatasetError where masks do not match frames, or there are further problems."""
    lines = [f"{len(files)} {kind}:{_listed(files)}" for kind, files in matches.problems.items() if files] + problems
    if lines:
        raise DatasetError(
            f"predictions={matches.folder} cannot be scored as {what}. Give one mask per frame, of its size, with the ids or "
            f"colours of {space.name}, called as the frame is, with or without a suffix that all have, or as IDD calls its masks"
            + (f". Their ids: {way_out}" if way_out else "")
            + ":\n"
            + "\n".join(lines)
        )


def _of_other_sizes(sizes: Mapping[tuple[Pixels, Pixels], list[str]], eval_size: Pixels | None) -> list[str]:
    """Return lines on the masks of another (their size, their frames' size), and what to type where one size fits all."""
    lines, few = [], []
    for (given, frame), files in sizes.items():
        if len(files) >= FEWEST:
            lines.append(f"{len(files)} are {_sides(given)} and their frames {_sides(frame)}:{_listed(files)}")
        else:
            few += [f"{file} ({_sides(given)}, the frame {_sides(frame)})" for file in files]
    if few:
        lines.append(f"{len(few)} have another size than their frame:{SEPARATOR}{shortened(few, LISTED, SEPARATOR)}")
    different = {given for given, _ in sizes}
    if any(given == frame[::-1] for given, frame in sizes):
        lines.append("Height and width of some are exchanged: turn these masks.")
    elif len(different) == 1 and eval_size is None:
        given = different.pop()
        lines.append(f"To compare masks and truth at {_sides(given)}, type data.eval_size={as_typed(given)}")
    elif eval_size is not None:
        lines.append(f"Masks must have the size of their frame, or that of data.eval_size={as_typed(eval_size)}.")
    return lines if sizes else []


def _sides(size: Pixels) -> str:
    return f"{size[1]}×{size[0]}"


def _listed(names: list[str]) -> str:
    """Return a few names on lines of their own, the first of more on one."""
    return SEPARATOR + (SEPARATOR.join(names) if len(names) <= NAMED else shortened(names, NAMED))


def _shared_suffix(names: Sequence[str], frames: Collection[str]) -> str:
    """Return the suffix of all names without which the most of them are those of `frames`; empty where that is none."""
    shared = [each for each in suffixes(names[0]) if not NOT_CLASSES.search(each)]
    shared = [each for each in shared if all(each in suffixes(name) for name in names)]
    return max(shared, key=lambda suffix: sum(name.removesuffix(suffix) in frames for name in names))


def _key(name: str) -> Key:
    parts = Path(normalised(name)).with_suffix("").parts  # folders are copied between systems that write é differently
    return (*parts[:-1], _ENDINGS.sub("", parts[-1]))


def _best(key: Key, frames: Mapping[Key, str]) -> list[str]:
    """Return the frames whose names agree longest from the end, and in the last folder if both have one."""
    alike = {
        frame: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(key[::-1], frame[::-1], strict=False)))
        for frame in frames
    }
    most = max(alike.values(), default=0)
    best = [frame for frame, length in alike.items() if length == most]
    return [frames[frame] for frame in best if most >= min(len(key), len(frame), 2)]
