"""Images whose classes a table has, whatever folders they are in."""

from collections import Counter
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.files.folder_layout import Image, split_folders
from datamodules.files.image_files import find_images
from datamodules.files.other_files import remedy
from datamodules.sample_index import IndexedDataModule
from datamodules.splits.labels import Labels, read_labels
from datamodules.splits.listed import has_targets
from settings.base import is_csv

MOST_NAMED = 10  # rows or images of each kind that a message names


def labelled_images(data: IndexedDataModule, root: Path) -> tuple[list[Image], Counter[str], dict[str, str]]:
    """Find the images below `root` that `settings.labels` has a class of; `data` records what is left out.

    Returns the images, how many others there are by kind, and the groups by image where the table has some. Raises
    DatasetError.
    """
    settings, ignored = data.settings, Counter[str]()
    names = find_images(root, ignored)
    if not names:
        raise DatasetError(f"data.root={root} holds no images. {remedy(ignored)}".strip())
    own = is_csv(settings.split) and has_targets(Path(str(settings.split)))  # as it was when the run was made
    path = Path(str(settings.split)) if own else _table(Path(str(settings.labels)), root, data.notes)
    labels = read_labels(path, names, root, ["sample", "target"] if own else settings.label_columns)
    _leave_out(labels, path, root, data)
    ready = split_folders(settings, root)
    images: list[Image] = []
    for name, target in labels.targets.items():
        split = ready.get(name.split("/")[0]) if "/" in name else None
        if settings.classes is not None and target not in settings.classes:
            ignored["images of classes that are not in data.classes"] += 1
        elif ready and split is None:
            ignored["images outside " + ", ".join(ready)] += 1
        else:
            images.append((name, target, split))
    known = {target for _, target, _ in images}
    if missing := [name for name in settings.classes or () if name not in known]:
        raise DatasetError(f"data.classes names {shortened(missing)}, of which {path} has no image.")
    return images, ignored, labels.groups


def _table(typed: Path, root: Path, notes: list[str]) -> Path:
    """Return the table of classes: as typed, or relative to the root where it is there alone."""
    within = root / (typed.relative_to(Path.cwd()) if typed.is_relative_to(Path.cwd()) else typed)
    if typed.exists() or not within.exists():
        return typed
    notes.append(f"data.labels: there is no {typed}, but {within}, which is read.")
    return within


def _leave_out(labels: Labels, path: Path, root: Path, data: IndexedDataModule) -> None:
    """Note what is left out. Raises DatasetError naming all that is wrong, unless it is to be skipped."""
    without, problems = labels.unlabelled, {kind: rows for kind, rows in labels.problems.items() if rows}
    if problems and data.settings.on_corrupt == "fail":
        kinds = problems | ({"images have no row": without} if without else {})
        lines = [f"\n  {len(rows)} {kind}: {shortened(rows, MOST_NAMED)}" for kind, rows in kinds.items()]
        raise DatasetError(
            f"data.labels={path} and the images under data.root={root} do not fit; mend the table, or leave these out with "
            f"data.on_corrupt=skip:{''.join(lines)}"
        )
    data.notes += labels.notes
    data.skipped += [(row, kind) for kind, rows in problems.items() for row in rows]
    data.notes += [f"Left out: {len(rows)} {kind}, such as {rows[0]}." for kind, rows in problems.items()]
    if without:
        data.notes += [f"Images without a row in {path}: {len(without)}, such as {without[0]}; they are left out."]
