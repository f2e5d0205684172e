"""Images whose classes a table has, such as the labels.csv of a flat folder, whatever folders they are in."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.files.folder_layout import Image, split_folders
from datamodules.files.image_files import find_images
from datamodules.files.other_files import remedy
from datamodules.sample_index import IndexedDataModule
from datamodules.splits.listed import (
    GROUP_COLUMNS,
    SAMPLE_COLUMNS,
    SPLIT_COLUMNS,
    first_named,
    has_targets,
    match,
    table_of,
)
from label_spaces.csv_reader import CSVTable
from settings.base import is_csv

CLASS_COLUMNS = ("target", "label", "labels", "class", "classes", "classname", "labelname", "category", "categoryname",
                 "classlabel")  # fmt: skip
MOST_TRIED = 1000  # rows that are compared with the files to find their column
MOST_NAMED = 10  # rows or images of each kind that a message names


@dataclass
class Labels:
    """The class, and the group where the table has one, of each image by its name; and what does not fit."""

    targets: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by kind
    unlabelled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_labels(path: Path, names: Collection[str], root: Path, columns: Sequence[str] | None = None) -> Labels:
    """Read the classes of images, `names` relative to `root`, from the columns of files and classes, by default recognised.

    Raises DatasetError where the columns are not there or not certain, or no row is about an image.
    """
    table, known = table_of(path, "data.labels="), dict.fromkeys(names)
    if not table.rows:
        raise DatasetError(f"data.labels={path} has no rows; expected a header such as file,label and a row per image.")
    file, label = _columns(table, known, root, columns)
    found, rows = Labels(), defaultdict(list)
    matches = match((row.cells[file] for row in table.rows), known, root)
    if matches.beyond:
        found.notes.append(f"All paths in {path} begin with {matches.beyond}, which is taken for data.root.")
    unknown = set(matches.unknown)
    for row in table.rows:
        written, place = row.cells[file], f"{row.cells[file].strip()} (line {row.line})"
        if written in unknown:
            found.problems["rows name no image that is there"].append(place)
        elif written in matches.ambiguous:
            several = f"{place}: {shortened(matches.ambiguous[written], 2)}"
            found.problems["rows fit several images; add folders"].append(several)
        elif not row.cells[label].strip():
            found.problems["rows have no class"].append(place)
        else:
            rows[matches.names[written]].append(row)
    group = first_named(table, GROUP_COLUMNS)
    for name, its_rows in rows.items():
        if len({row.cells[label].strip() for row in its_rows}) > 1:
            listed = ", ".join(f"{row.cells[label].strip()} in line {row.line}" for row in its_rows)
            found.problems["images are listed with different classes"].append(f"{name} ({listed})")
            continue
        found.targets[name] = its_rows[0].cells[label].strip()
        if group:
            found.groups[name] = its_rows[0].cells[group]
    repeated = sum(len(its_rows) - 1 for name, its_rows in rows.items() if name in found.targets)
    found.notes += [f"Rows of {path} that repeat another one: {repeated}."] if repeated else []
    covered = {*rows, *(matches.names[row.cells[file]] for row in table.rows if row.cells[file] in matches.names)}
    found.unlabelled = [name for name in names if name not in covered]
    return found


def _columns(table: CSVTable, names: Collection[str], root: Path, given: Sequence[str] | None) -> tuple[str, str]:
    """Return the columns of files and of classes. Raises DatasetError where they are not there or not certain."""
    labels, having = f"data.labels={table.path}", ", ".join(table.columns)
    if given is not None:
        if missing := [column for column in given if column not in table.columns]:
            lacking = f"{labels} has no column {', '.join(missing)}; it has {having}."
            raise DatasetError(f"data.label_columns=[{','.join(given)}]: {lacking}")
        return given[0], given[1]
    file = _file_column(table, names, root)
    others = {file, *table.named((*SAMPLE_COLUMNS, *SPLIT_COLUMNS, *GROUP_COLUMNS))}
    rest = [column for column in table.columns if column not in others]
    named = [column for column in table.named(CLASS_COLUMNS) if column != file]
    if len(named) == 1 or (not named and len(rest) == 1):
        return file, (named or rest)[0]
    if not named and not rest:
        raise DatasetError(f"{labels} has no column of classes, such as label; it has {having}.")
    numbers = {"0", "1", "0.0", "1.0"}
    if len(rest) > 1 and not named and all(row.cells[name].strip() in numbers for row in table.rows for name in rest):
        raise DatasetError(
            f"{labels} has a column of 0 and 1 per class ({shortened(rest)}); write one column with the name of each "
            f"image's class instead, under a header such as {file},label. Images of several classes cannot be used."
        )
    raise DatasetError(
        f"{labels}: which column has the classes is not certain; it has {having}. Type the columns "
        f"of files and classes, such as 'data.label_columns=[{file},{(named or rest)[0]}]'."
    )


def _file_column(table: CSVTable, names: Collection[str], root: Path) -> str:
    """Return the column whose cells are the most files', of equals the most usual name."""
    usual = [column for name in SAMPLE_COLUMNS for column in table.named([name])]
    if not usual and match(table.columns, names, root).names:
        raise DatasetError(
            f"data.labels={table.path} has no header: its first line names an image. Put file,label above it."
        )
    tried = dict.fromkeys([*usual, *table.columns])
    rows = table.rows[:MOST_TRIED]
    counts = {column: len(match((row.cells[column] for row in rows), names, root).names) for column in tried}
    best = max(counts, key=counts.__getitem__)
    if counts[best]:
        return best
    cells = (f"{column} has {table.rows[0].cells[column].strip()!r}" for column in tried)
    there = shortened(sorted(names), 2) or "none"
    raise DatasetError(
        f"data.labels={table.path}: no column names images under data.root={root}: {shortened(list(cells))}; the images there: {there}."
    )


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
