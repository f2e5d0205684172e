"""The classes of images in a table, such as the labels.csv of a flat folder."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.splits.listed import GROUP_COLUMNS, SAMPLE_COLUMNS, SPLIT_COLUMNS, first_named, match, table_of
from label_spaces.csv_reader import CSVTable

CLASS_COLUMNS = ("target", "label", "labels", "class", "classes", "classname", "labelname", "category", "categoryname",
                 "classlabel")  # fmt: skip
MOST_TRIED = 1000  # rows that are compared with the files to find their column


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
            found.problems["rows fit several images; add folders"].append(
                f"{place}: {shortened(matches.ambiguous[written], 2)}"
            )
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
    if given is not None:
        if missing := [column for column in given if column not in table.columns]:
            raise DatasetError(
                f"data.label_columns=[{','.join(given)}]: data.labels={table.path} has no column {', '.join(missing)}; it has "
                f"{', '.join(table.columns)}."
            )
        return given[0], given[1]
    file = _file_column(table, names, root)
    others = {file, *table.named((*SAMPLE_COLUMNS, *SPLIT_COLUMNS, *GROUP_COLUMNS))}
    rest = [column for column in table.columns if column not in others]
    named = [column for column in table.named(CLASS_COLUMNS) if column != file]
    if len(named) == 1 or (not named and len(rest) == 1):
        return file, (named or rest)[0]
    if not named and not rest:
        raise DatasetError(
            f"data.labels={table.path} has no column of classes, such as label; it has {', '.join(table.columns)}."
        )
    numbers = {"0", "1", "0.0", "1.0"}
    if len(rest) > 1 and not named and all(row.cells[name].strip() in numbers for row in table.rows for name in rest):
        raise DatasetError(
            f"data.labels={table.path} has a column of 0 and 1 per class ({shortened(rest)}); write one column with the name of each "
            f"image's class instead, under a header such as {file},label. Images of several classes cannot be used."
        )
    raise DatasetError(
        f"data.labels={table.path}: which column has the classes is not certain; it has {', '.join(table.columns)}. Type the columns "
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
    counts = {
        column: len(match((row.cells[column] for row in table.rows[:MOST_TRIED]), names, root).names)
        for column in tried
    }
    best = max(counts, key=counts.__getitem__)
    if counts[best]:
        return best
    cells = (f"{column} has {table.rows[0].cells[column].strip()!r}" for column in tried)
    there = shortened(sorted(names), 2) or "none"
    raise DatasetError(
        f"data.labels={table.path}: no column names images under data.root={root}: {shortened(list(cells))}; the images there: {there}."
    )
