"""The label spaces by name: the tables beside this file, and any CSV file by its path."""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from label_spaces.csv_files import ENDINGS, Row, read_rows, read_space
from label_spaces.space import NO_ID, Colour, LabelSpace, LabelSpaceError

INSTANCES = 1000  # by which Cityscapes multiplies a class for the ids of its instances
MOST_VOID = 5  # unknown ids that may be meant to be no class
MANY = 40  # ids that hardly any table has
MOST_NAMED = 5  # label spaces that a message lists
FOLDER = Path(__file__).parent  # tables/NAME.csv is a label space or a label table, derived.csv relates them


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts: those of derived.csv, the other tables, and label tables with ids of their own."""
    derived = _rows_of("derived")
    tables = {cells["labels"] for cells in derived.values()}
    others = (path.stem for path in sorted((FOLDER / "tables").glob("*.csv")))
    return (*derived, *(name for name in others if name not in derived and name not in tables), *_rows_of("label_ids"))


def load(name: str) -> LabelSpace:
    """Return the label space of one of `names`, or of the path of a file (see `label_spaces.csv_files.read_space`).

    Raises LabelSpaceError where there is none of that name, or the file is broken; the message names the row.
    """
    if name in names():
        return _by_name(name)
    if name.lower().endswith(ENDINGS):
        path = Path(name)
        if path.stem in names() and path.is_file():  # crosswalks, levels and official scores are found by name
            raise LabelSpaceError(
                f"{name} has the name of a label space of this project: type {path.stem} for that one, or rename the file"
            )
        return read_space(path)
    alike = sorted((known for known in names() if name.lower() in known), key=lambda known: known.find(name.lower()))
    near = alike or difflib.get_close_matches(name, names(), 3)
    meant = f"; did you mean {' or '.join(near)}?" if name and near else ";"
    raise LabelSpaceError(
        f"there is no label space {name!r}{meant} there are {', '.join(names())}, or give the path of a .csv or .tsv file "
        "with the columns name and id, or red, green and blue; or of a labelmap.txt"
    )


def fitting(ids: Collection[int]) -> list[str]:
    """Return the names of the label spaces that have all of these ids, those with the fewest others first."""
    legal = {name: set(load(name).legal_ids()) for name in names()}
    fit = [name for name in names() if legal[name] >= {*ids}]
    return sorted(fit, key=lambda name: len(legal[name]))


def having_colours(colours: Collection[Colour]) -> list[str]:
    """Return the names of the label spaces with all of these colours, black apart, those with the fewest others first."""
    having = {name: {*load(name).colours, *load(name).void_colours, (0, 0, 0)} for name in names()}
    return sorted((name for name in having if having[name] >= {*colours}), key=lambda name: len(having[name]))


def advice(
    ids: Collection[int],
    space: LabelSpace,
    key: str,
    void_key: str,
    accepts: Callable[[LabelSpace], bool] = lambda _: True,
) -> str:
    """Return what to type where masks have ids, in all `ids`, that their label space lacks; empty where they have none.

    `key` is that of the label space, such as ``data.label_space``, `void_key` that for ids of no class. `accepts`: whether
    one of our own label spaces may take its place.
    """
    unknown = sorted({*ids} - {*space.legal_ids()})
    if not unknown:
        return ""
    listed, ways = ",".join(map(str, unknown)), []
    if max(unknown) >= INSTANCES:
        ways.append(
            f"ids from {INSTANCES} on look like ids of instances, class · {INSTANCES} + number: give masks of label ids"
        )
    elif len(unknown) <= MOST_VOID and unknown[0] >= 0 and unknown[-1] <= NO_ID:
        ways.append(f"type {void_key}=[{listed}] if {listed} {'is' if len(unknown) == 1 else 'are'} no class")
    fit = [name for name in fitting(ids) if name != space.name and accepts(load(name))]
    fit.sort(key=lambda name: base_of(name) != base_of(space.name))  # the same classes by other ids come first
    if not fit and len(ids) >= MANY:
        ways.append("so many ids look like smoothed edges or a picture: resize masks by taking the nearest pixel")
    if fit:
        more = f" (also {', '.join(fit[1:MOST_NAMED])})" if fit[1:] else ""
        way = f"type {key}={fit[0]} if they are its classes, whose ids fit{more}"
        ways.insert(0 if base_of(fit[0]) == base_of(space.name) else len(ways), way)
    ways.append(f"or name each id in a table, {key}=FILE.csv (name,id,void)")
    return "; ".join(ways)


def base_of(name: str) -> str:
    """Return the label space whose classes a label space has: itself, unless its masks hold the ids of labels."""
    return _rows_of("label_ids")[name]["classes"] if name in _rows_of("label_ids") else name


@cache
def label_table(name: str) -> LabelSpace | None:
    """Return the labels that a label space sums up, each as a class; None where it is not derived from a label table."""
    name = base_of(name)
    if name not in _rows_of("derived"):
        return None
    table = _rows_of("derived")[name]["labels"]
    return LabelSpace(table, tuple(row.values["name"] for row in _rows(table)))


@cache
def _rows_of(file: str) -> Mapping[str, Mapping[str, str]]:
    """Return the rows of derived.csv or label_ids.csv by label space."""
    return {row.values["space"]: row.values for row in read_rows(FOLDER / f"{file}.csv")}


def _rows(table: str) -> list[Row]:
    return read_rows(FOLDER / "tables" / f"{table}.csv")


@cache
def _by_name(name: str) -> LabelSpace:
    if name in _rows_of("label_ids"):
        return _with_label_ids(name)
    space = read_space(FOLDER / "tables" / f"{name}.csv")
    if name not in _rows_of("derived"):
        return space
    cells = _rows_of("derived")[name]
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


def _with_label_ids(name: str) -> LabelSpace:
    """Return the label space whose masks hold the ids of the labels in a label table."""
    space, column = _by_name(base_of(name)), _rows_of("label_ids")[name]["id"]
    ids: list[list[int]] = [[] for _ in range(space.num_classes + 1)]
    for row in _rows(name):
        if row.integer(column) >= 0:
            ids[space.labels[row.values["name"]]].append(row.integer(column))
    return replace(
        space,
        name=name,
        ids=tuple(each[0] for each in ids[:-1]),
        further_ids={identity: index for index, each in enumerate(ids[:-1]) for identity in each[1:]},
        void_ids=(*ids[-1], *(identity for identity in space.void_ids if not any(identity in each for each in ids))),
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
