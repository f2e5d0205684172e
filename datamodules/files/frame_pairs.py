"""Frames and the files of their truth, found by name in folders per split and drive: the layout of IDD's datasets."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.errors import DatasetError, Defect, shortened
from datamodules.files.folder_layout import folders_below
from datamodules.files.idd_polygons import IMAGES, POLYGONS, POLYGONS_ENDING
from datamodules.files.image_files import visible
from datamodules.splits.sample_table import torn_groups
from settings.base import override

DEEPEST = 2  # levels of folders within a root in which frames are looked for

Key = tuple[str, str, str]  # split, drive, what the names of a frame's files have in common


@dataclass(frozen=True, slots=True)
class Pair:
    """A frame and its truth."""

    name: str  # the image's POSIX path relative to the root
    truth: str  # the path of its truth, likewise; empty where there is none
    root: Path
    group: str  # the drive; the name itself where there are none
    split: str | None  # the dataset's own


@dataclass
class Listing:
    """The frames with truth, those of splits without any (an official test), and incomplete pairs."""

    pairs: list[Pair] = field(default_factory=list)
    without_truth: list[Pair] = field(default_factory=list)
    alone: list[Defect] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """The endings of images and of their truth in ``leftImg8bit/<split>/<drive>`` and ``gtFine/<split>/<drive>``."""

    images: tuple[str, ...]
    truth: str
    not_truth: tuple[str, ...] = ()  # endings of other files that end as the truth does

    def beside(self, image: str, ending: str) -> str:
        """Return ``<drive>/<frame><ending>`` for an image's path: another file of its frame, below a split's folder."""
        drive, name = image.split("/")[-2:]
        own = next(own for own in self.images if name.endswith(own))
        return f"{drive}/{name.removesuffix(own)}{ending}"


IDD_LAYOUT = Layout(images=(f"_{IMAGES}.jpg", f"_{IMAGES}.png"), truth=POLYGONS_ENDING)


def list_pairs(roots: Iterable[Path], layout: Layout) -> Listing:
    """List the frames below the roots, sorted, without opening any. Raises DatasetError where there are none."""
    found, roots = Listing(), [*roots]
    for root in roots:
        images = _files(root / IMAGES, layout.images)
        truths = {key: names[0] for key, names in _files(root / POLYGONS, (layout.truth,), layout.not_truth).items()}
        annotated = {split for split, *_ in truths}
        if not images and not truths:
            raise DatasetError(
                f"No frames with truth under data.root={root}; expected {IMAGES}/train/<drive>/<frame>"
                f"({'|'.join(layout.images)}) and {POLYGONS}/train/<drive>/<frame>{layout.truth}. {_advice(root, layout)}"
            )
        for key, (name, *others) in images.items():
            split, drive, _ = key
            if others:
                files = ", ".join(Path(each).name for each in (name, *others))
                several = f"there are several images of this frame: {files}"
                found.alone += [Defect(f"{IMAGES}/{each}", several) for each in (name, *others)]
            elif key in truths:
                found.pairs.append(Pair(f"{IMAGES}/{name}", f"{POLYGONS}/{truths[key]}", root, drive, split))
            elif split in annotated:
                wanted = f"{POLYGONS}/{'/'.join(key)}{layout.truth}"
                found.alone.append(Defect(f"{IMAGES}/{name}", f"has no truth {wanted}", "has no truth"))
            else:
                found.without_truth.append(Pair(f"{IMAGES}/{name}", "", root, drive, split))
        for key in truths.keys() - images.keys():
            wanted = f"{IMAGES}/{'/'.join(key)}({'|'.join(layout.images)})"
            found.alone.append(Defect(f"{POLYGONS}/{truths[key]}", f"has no image {wanted}", "has no image"))
    if not found.pairs and not found.alone:
        raise DatasetError(
            f"No frames with truth under data.root={', '.join(map(str, roots))}: none of {len(found.without_truth)} images has "
            f"a file {POLYGONS}/<split>/<drive>/<frame>{layout.truth}."
        )
    found.pairs.sort(key=lambda pair: pair.name)
    found.without_truth.sort(key=lambda pair: pair.name)
    found.alone.sort()
    return found


def _advice(root: Path, layout: Layout) -> str:
    """Return what was found instead of frames, and what to type where frames are in folders within the root, or around."""
    # Within the root, or around it: where an archive may have put the dataset.
    around = (*folders_below(root, DEEPEST, (IMAGES, POLYGONS)), *root.absolute().parents[:2])
    nearby = [place for place in around if (place / IMAGES).is_dir()]
    if fitting := [place for place in nearby if _files(place / IMAGES, layout.images)]:
        typed = [override("data.root", str(place)) for place in fitting]
        if len(fitting) > 1 and layout.images == IDD_LAYOUT.images:
            typed.append(override("data.root", [str(place) for place in fitting]))
        return f"They are in {shortened(fitting)}: type {' or '.join(typed)}"
    for place in (root, *nearby):
        if files := sorted(path for path in (place / IMAGES).glob("*/*/*") if not path.name.startswith(".")):
            return f"Found: {len(files)} files such as {files[0]}: names of another dataset; see data=idd, idd_lite, mask_folder."
    entries = visible([path.name for path in root.iterdir()], Counter())
    return f"Found: {shortened(entries) or 'nothing'}."


def find_frames(root: Path) -> list[Pair]:
    """Return the frames of IDD's layout, sorted. Raises DatasetError for none, or a polygon file without one image."""
    found = list_pairs([root], IDD_LAYOUT)
    if several := [each for each in found.alone if not each.cause]:
        raise DatasetError(f"{root}: {several[0].name}: {several[0].reason}; keep one of them.")
    if alone := [f"{name} {reason}" for name, reason, _ in found.alone if name.startswith(f"{POLYGONS}/")]:
        raise DatasetError(
            f"{root}: {len(alone)} polygon files have no image, first {alone[0]}; complete the folder {IMAGES}, or remove the files."
        )
    return found.pairs


def refuse_repeated(names: Iterable[str], root: str) -> None:
    """Raise DatasetError where a frame is named twice: it is in more than one of the folders of `root`, as typed."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(
            f"data.root={root}: {len(twice)} frames are in more than one of these folders, such as {twice[0]}; give "
            "folders that have no frame in common."
        )


def _files(folder: Path, endings: Sequence[str], not_these: Sequence[str] = ()) -> dict[Key, list[str]]:
    """Return the files ``<split>/<drive>/<…><ending>`` in a folder, by split, drive and the common part of their names."""
    found: dict[Key, list[str]] = defaultdict(list)
    for place in sorted(folder.glob("*/*")):
        if not place.is_dir():
            continue
        split, drive = place.parts[-2:]
        for name in sorted(path.name for path in place.iterdir()):
            ending = next((ending for ending in endings if name.endswith(ending)), None)
            if ending is not None and not name.startswith(".") and not name.endswith(tuple(not_these)):
                found[split, drive, name.removesuffix(ending)].append(f"{split}/{drive}/{name}")
    return found


def torn_drives(frames: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return, of (name, drive, split), why frames cannot stay: their drive is also in a later split."""
    frames = list(frames)
    torn = torn_groups((drive, split) for _, drive, split in frames)
    return {
        name: f"drive {drive} is in {' and '.join(torn[drive])}; a drive belongs on one side"
        for name, drive, split in frames
        if drive in torn and split != torn[drive][-1]  # what is reported stays as it is
    }
