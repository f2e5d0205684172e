"""The label spaces there are: ours, derived from the tables beside this file, and any user's CSV file."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from label_spaces.csv_files import Colour, Row, read_rows, read_space
from label_spaces.space import LabelSpace, LabelSpaceError

_TABLES = Path(__file__).parent / "tables"
# Label space -> the label table whose rows it sums up, and the column that says by which id.
_DERIVED = {
    "idd_level3": ("idd_labels", "level3Id"),
    "idd_level2": ("idd_labels", "level2Id"),
    "idd_level1": ("idd_labels", "level1Id"),
    "idd_lite": ("idd_labels", "level1Id"),
    "idd_cityscapes18": ("idd_labels", "csTrainId"),
    "idd_cityscapes19": ("idd_labels", "csTrainId"),
    "cityscapes19": ("cityscapes_labels", "trainId"),
}
_COARSER = {"idd_level3": ("idd_level2", "idd_level1"), "idd_level2": ("idd_level1",)}


def names() -> tuple[str, ...]:
    """The label spaces that `load` knows by name."""
    return (*_DERIVED, "voc21")


def load(name: str) -> LabelSpace:
    """The label space of a name, or that of a CSV file (`label_spaces.csv_files.read_space` says what it holds).

    Args:
        name: one of `names`, or the path of a file that ends in ``.csv``.

    Raises:
        LabelSpaceError: there is none of that name, or the file is broken; the message names the row.
    """
    if name in names():
        return _ours(name)
    if name.lower().endswith(".csv"):
        space = read_space(Path(name))
        if space.name in names():  # crosswalks, levels and the official scripts' scores are found by name
            raise LabelSpaceError(
                f"{name} is called as a label space of this project is: type {space.name} for that one, or rename the file"
            )
        return space
    raise LabelSpaceError(
        f"there is no label space {name!r}; there are {', '.join(names())}, or give the path of a .csv file "
        "with the columns name and id"
    )


def important(name: str) -> tuple[int, ...]:
    """The indices of the classes whose confusions cost most in Safe mIoU; none where the label space marks none.

    Raises LabelSpaceError where `name` is not one of `names`.
    """
    space = load(name)
    rows = read_rows(_TABLES / f"{space.name}.csv")
    return tuple(space.index(row.values["name"]) for row in rows if row.truth("important"))


@cache
def label_table(name: str) -> LabelSpace | None:
    """The labels that a label space sums up, each as a class; None where it is not derived from a label table."""
    if name not in _DERIVED:
        return None
    table = _DERIVED[name][0]
    return LabelSpace(table, tuple(row.values["name"] for row in read_rows(_TABLES / f"{table}.csv")))


@cache
def _ours(name: str) -> LabelSpace:
    space = read_space(_TABLES / f"{name}.csv")
    if name not in _DERIVED:
        return space
    table, column = _DERIVED[name]
    rows = read_rows(_TABLES / f"{table}.csv")
    index = {identity: i for i, identity in enumerate(space.ids)}
    void_ids = {row.integer(column) for row in rows} - index.keys()
    return replace(
        space,
        colours=_colours([[row for row in rows if row.integer(column) == identity] for identity in space.ids]),
        void_ids=tuple(sorted(identity for identity in void_ids if identity >= 0)),
        labels={row.values["name"]: index.get(row.integer(column), space.void) for row in rows},
        levels={coarser: _level(space, rows, column, coarser) for coarser in _COARSER.get(name, ())},
    )


def _colours(members: Sequence[Sequence[Row]]) -> tuple[Colour, ...]:
    """A colour per class: that of its first label, or of the next where another class has that already."""
    chosen: list[Colour] = []
    for rows in members:
        offered = [colour for row in rows if (colour := row.colour()) is not None]
        chosen.append(next((colour for colour in offered if colour not in chosen), offered[0]))
    return tuple(chosen)


def _level(space: LabelSpace, rows: Sequence[Row], column: str, coarser: str) -> tuple[int, ...]:
    """The index in `coarser` of each class of `space`; the tables form a tree, so there is exactly one."""
    target = _ours(coarser)
    parents = []
    for identity in space.ids:
        found = {target.labels[row.values["name"]] for row in rows if row.integer(column) == identity}
        assert len(found) == 1, f"id {identity} of {space.name} has the parents {sorted(found)} in {coarser}"
        parents.append(found.pop())
    return tuple(parents)
