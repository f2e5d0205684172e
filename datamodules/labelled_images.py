"""Images whose classes a table has, whatever folders they are in."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.files.folder_layout import Image, split_folders
from datamodules.files.image_files import find_images
from datamodules.files.other_files import remedy
from datamodules.splits.labels import Labels, read_labels
from datamodules.splits.listed import has_targets
from settings.base import is_csv
from settings.data import DataSettings

MOST_NAMED = 10  # rows or images of each kind that a message names


@dataclass
class LabelledImages:
    """The images that the table has a class of, their groups where it has some, and what is left out."""

    images: list[Image] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)  # by kind
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (row, reason)
    notes: list[str] = field(default_factory=list)


def labelled_images(settings: DataSettings, root: Path) -> LabelledImages:
    """Find the images below `root` that `settings.labels` has a class of. Raises DatasetError."""
    found = LabelledImages()
    names = find_images(root, found.ignored)
    if not names:
        raise DatasetError(f"data.root={root} holds no images. {remedy(found.ignored)}".strip())
    own = is_csv(settings.split) and has_targets(Path(str(settings.split)))  # as it was when the run was made
    path = Path(str(settings.split)) if own else _table(Path(str(settings.labels)), root, found.notes)
    labels = read_labels(path, names, root, ["sample", "target"] if own else settings.label_columns)
    _leave_out(labels, path, root, found, skip=settings.on_corrupt == "skip")
    found.groups = labels.groups
    ready = split_folders(settings, root)
    for name, target in labels.targets.items():
        split = ready.get(name.split("/")[0]) if "/" in name else None
        if settings.classes is not None and target not in settings.classes:
            found.ignored["images of classes that are not in data.classes"] += 1
        elif ready and split is None:
            found.ignored["images outside " + ", ".join(ready)] += 1
        else:
            found.images.append((name, target, split))
    known = {target for _, target, _ in found.images}
    if missing := [name for name in settings.classes or () if name not in known]:
        raise DatasetError(f"data.classes names {shortened(missing)}, of which {path} has no image.")
    return found


def _table(typed: Path, root: Path, notes: list[str]) -> Path:
    """Return the table of classes: as typed, or relative to the root where it is there alone."""
    within = root / (typed.relative_to(Path.cwd()) if typed.is_relative_to(Path.cwd()) else typed)
    if typed.exists() or not within.exists():
        return typed
    notes.append(f"data.labels: there is no {typed}, but {within}, which is read.")
    return within


def _leave_out(labels: Labels, path: Path, root: Path, found: LabelledImages, *, skip: bool) -> None:
    """Note what is left out. Raises DatasetError naming all that is wrong, unless it is to be skipped."""
    unlabelled, problems = labels.unlabelled, {kind: rows for kind, rows in labels.problems.items() if rows}
    if problems and not skip:
        kinds = problems | ({"images have no row": unlabelled} if unlabelled else {})
        lines = [f"\n  {len(rows)} {kind}: {shortened(rows, MOST_NAMED)}" for kind, rows in kinds.items()]
        raise DatasetError(
            f"data.labels={path} and the images under data.root={root} do not fit; mend the table, or leave these out with "
            f"data.on_corrupt=skip:{''.join(lines)}"
        )
    found.notes += labels.notes
    found.skipped += [(row, kind) for kind, rows in problems.items() for row in rows]
    found.notes += [f"Left out: {len(rows)} {kind}, such as {rows[0]}." for kind, rows in problems.items()]
    if unlabelled:
        found.notes.append(
            f"Images without a row in {path}: {len(unlabelled)}, such as {unlabelled[0]}; they are left out."
        )
