"""The label spaces by name: the tables beside this file, and any CSV file by its path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from label_spaces.csv_files import Colour, Row, read_rows, read_space
from label_spaces.space import LabelSpace, LabelSpaceError

FOLDER = Path(__file__).parent  # tables/NAME.csv is a label space or a label table, derived.csv relates them


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts: those of derived.csv, then the other tables except label tables."""
    derived = _derived()
    tables = {cells["labels"] for cells in derived.values()}
    others = (path.stem for path in sorted((FOLDER / "tables").glob("*.csv")))
    return (*derived, *(name for name in others if name not in derived and name not in tables))


def load(name: str) -> LabelSpace:
    """Return the label space of one of `names`, or of the path of a ``.csv`` file (see `label_spaces.csv_files.read_space`).

    Raises LabelSpaceError where there is none of that name, or the file is broken; the message names the row.
    """
    if name in names():
        return _by_name(name)
    if name.lower().endswith(".csv"):
        space = read_space(Path(name))
        if space.name in names():  # crosswalks, levels and the official scripts' scores are found by name
            raise LabelSpaceError(
                f"{name} has the name of a label space of this project: type {space.name} for that one, or rename the file"
            )
        if (FOLDER / "tables" / f"{space.name}.csv").exists():
            raise LabelSpaceError(f"{name} has the name of a table of labels of this project: rename the file")
        return space
    raise LabelSpaceError(
        f"there is no label space {name!r}; there are {', '.join(names())}, or give the path of a .csv file "
        "with the columns name and id"
    )


@cache
def label_table(name: str) -> LabelSpace | None:
    """Return the labels that a label space sums up, each as a class; None where it is not derived from a label table."""
    if name not in _derived():
        return None
    table = _derived()[name]["labels"]
    return LabelSpace(table, tuple(row.values["name"] for row in _rows(table)))


@cache
def _derived() -> Mapping[str, Mapping[str, str]]:
    """Return the rows of derived.csv by label space."""
    return {row.values["space"]: row.values for row in read_rows(FOLDER / "derived.csv")}


def _rows(table: str) -> list[Row]:
    return read_rows(FOLDER / "tables" / f"{table}.csv")


@cache
def _by_name(name: str) -> LabelSpace:
    space = read_space(FOLDER / "tables" / f"{name}.csv")
    if name not in _derived():
        return space
    cells = _derived()[name]
    rows, column = _rows(cells["labels"]), cells["id"]
    index = {identity: i for i, identity in enumerate(space.ids)}
    members = [[row for row in rows if row.integer(column) == identity] for identity in space.ids]
    void_ids = {row.integer(column) for row in rows} - index.keys()
    return replace(
        space,
        colours=_colours(members) or space.colours,
        void_ids=tuple(sorted(identity for identity in void_ids if identity >= 0)),
        labels={row.values["name"]: index.get(row.integer(column), space.void) for row in rows},
        levels={coarser: _level(space, members, coarser) for coarser in cells["coarser"].split(";") if coarser},
        script=cells["script"],
    )


def _colours(members: Sequence[Sequence[Row]]) -> tuple[Colour, ...]:
    """Return a colour per class, its first label's that no other class has; nothing where a class has no label with one."""
    chosen: list[Colour] = []
    for rows in members:
        offered = [colour for row in rows if (colour := row.colour()) is not None]
        if not offered:
            return ()
        chosen.append(next((colour for colour in offered if colour not in chosen), offered[0]))
    return tuple(chosen)


def _level(space: LabelSpace, members: Sequence[Sequence[Row]], coarser: str) -> tuple[int, ...]:
    """Return the index in `coarser` of each class of `space`. Raises LabelSpaceError where it has not exactly one."""
    target = _by_name(coarser)
    parents = []
    for name, rows in zip(space.classes, members, strict=True):
        found = {target.labels[row.values["name"]] for row in rows}
        if len(found) != 1:
            raise LabelSpaceError(
                f"{space.name}: the labels of {name} have {len(found)} classes of {coarser}; it needs one"
            )
        parents.append(found.pop())
    return tuple(parents)
