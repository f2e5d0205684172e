"""Crosswalks from one label space to another: a CSV file with a row per source class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from label_spaces.catalogue import base_of, label_table, load
from label_spaces.csv_files import Row, read_rows
from label_spaces.space import LabelSpace, LabelSpaceError

FOLDER = Path(__file__).parent / "crosswalks"
FULL, PARTLY, SHARED, NO = STATUSES = ("full", "partly", "shared", "no")
# The relation of a source class to the labels of its row, and how much of these it covers unless the row has `covers`.
_COVERS = {"equal": FULL, "superset": FULL, "subset": PARTLY, "overlap": PARTLY}
_NOTHING = ("none", "rest")  # without a target; a class that means everything else, such as background
_KNOWN = ("source", "labels", "target", "relation", "covers", "ambiguous", "note")


@dataclass(frozen=True)
class Link:
    """What a source class stands for."""

    labels: tuple[int, ...] = ()  # indices, the primary first; nothing where it has no counterpart
    full: bool = True  # whether the source class covers all objects with these labels, or a part
    rest: bool = False  # whether it means everything that no other source class stands for


@dataclass(frozen=True)
class Crosswalk:
    """A map from a model's label space to a dataset's: total, and single-valued through each class's primary."""

    source: LabelSpace  # of the predictions
    target: LabelSpace  # of the truth
    links: tuple[Link, ...]  # one per source class
    class_of: tuple[int, ...]  # the target class of each label that links name, target.void for those of no class there

    @cached_property
    def targets(self) -> tuple[tuple[int, ...], ...]:
        """The target classes of each source class; its predictions count as the first, the primary."""
        return tuple(
            tuple(dict.fromkeys(c for label in link.labels if (c := self.class_of[label]) != self.target.void))
            for link in self.links
        )

    @cached_property
    def mapping(self) -> tuple[int, ...]:
        """The target class that predictions of each source class count as, or target.void."""
        return tuple(found[0] if found else self.target.void for found in self.targets)

    @cached_property
    def rest(self) -> tuple[int, ...]:
        """The source classes that mean everything else."""
        return tuple(index for index, link in enumerate(self.links) if link.rest)

    @cached_property
    def statuses(self) -> tuple[str, ...]:
        """How well each target class can be predicted.

        ``full``: source classes cover all of it; ``partly``: a part; ``shared``: a source class stands for it, but counts
        as another one, its primary; ``no``: none does. The first two can be expressed in the source.
        """
        covered: dict[int, bool] = {}  # by label whether the source classes that count as its class cover all of it
        shared: set[int] = set()
        for link, mapped in zip(self.links, self.mapping, strict=True):
            for label in link.labels:
                if self.class_of[label] == mapped:
                    covered[label] = covered.get(label, False) or link.full
                else:
                    shared.add(self.class_of[label])
        found = []
        for index in range(self.target.num_classes):
            parts = [covered.get(label) for label, c in enumerate(self.class_of) if c == index]
            if parts and all(parts):
                found.append(FULL)
            elif any(part is not None for part in parts):
                found.append(PARTLY)
            else:
                found.append(SHARED if index in shared else NO)
        return tuple(found)

    @cached_property
    def expressible(self) -> tuple[int, ...]:
        """The target classes that predictions can count as."""
        return tuple(index for index, status in enumerate(self.statuses) if status in (FULL, PARTLY))

    def named(self, status: str) -> list[str]:
        """Return the names of the target classes of a status."""
        return [name for name, found in zip(self.target.classes, self.statuses, strict=True) if found == status]

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of a file that `read` reads as this crosswalk."""
        own = self.class_of == tuple(range(self.target.num_classes))
        table = None if own else label_table(self.target.name)
        column, names = ("target", self.target.classes) if table is None else ("labels", table.classes)
        return [
            {
                "source": name,
                column: ";".join(names[label] for label in link.labels),
                "relation": "rest" if link.rest else "none" if not link.labels else "equal" if link.full else "subset",
            }
            for name, link in zip(self.source.classes, self.links, strict=True)
        ]

    def at_level(self, name: str) -> "Crosswalk":
        """Return the crosswalk to a coarser level of the target."""
        coarse = load(name)
        parents = (*self.target.levels[name], coarse.void)
        return Crosswalk(self.source, coarse, self.links, tuple(parents[index] for index in self.class_of))


def find(source: LabelSpace, target: LabelSpace) -> Crosswalk:
    """Return the crosswalk in the folder ``crosswalks``, or the one that a common label table or equal names imply.

    A file is named ``<source>_to_<target>.csv``; the target is a label space or, for all label spaces that are derived
    from it at once, a label table. Classes of other label spaces are the same where all their names are.

    Raises LabelSpaceError where there is none.
    """
    table, own = label_table(target.name), label_table(source.name)
    for name in (target.name, base_of(target.name), *([table.name] if table else ())):
        path = FOLDER / f"{base_of(source.name)}_to_{name}.csv"
        if path.is_file():
            return read(path, source, target)
    if table is not None and own == table:
        members = [[i for i, name in enumerate(table.classes) if source.labels[name] == c] for c in range(source.void)]
        found = Crosswalk(source, target, tuple(Link(tuple(each)) for each in members), _classes_of(table, target))
        if all(len(classes) <= 1 for classes in found.targets):
            return found
    if {*source.classes} == {*target.classes}:
        links = tuple(Link((target.classes.index(name),)) for name in source.classes)
        return Crosswalk(source, target, links, tuple(range(target.num_classes)))
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*_to_*.csv")))
    raise LabelSpaceError(
        f"there is no crosswalk from {source.name} to {target.name}; write one as a CSV file with the columns source and "
        f"target, a row per class of {source.name}, and type crosswalk=FILE.csv (there are {known})"
    )


def read(path: Path, source: LabelSpace, target: LabelSpace) -> Crosswalk:
    """Read a crosswalk: a row per source class.

    Columns: ``source``, its name; ``target``, the classes of the target that it stands for, or instead ``labels``, the
    labels of the target's label table, separated by ``;``, the primary first; optionally ``relation``, of the source
    to all of these together: equal (the default), superset, subset, overlap, or without a target none (the default
    then) or rest (it means everything else); ``covers``, full or partly, where that does not follow from the relation;
    ``ambiguous``, yes or no; ``note``, anything, such as the reason.

    Raises LabelSpaceError naming the file and the row, where a class of the source is left out, unknown or given twice,
    a target is unknown, or a cell makes no sense.
    """
    rows = read_rows(path)
    column = _column(path, tuple(rows[0].values))
    table = label_table(target.name) if column == "labels" else target
    if table is None:
        raise LabelSpaceError(f"{path}: {target.name} has no label table; name its classes in a column target")
    links: dict[str, Link] = {}
    place: dict[str, str] = {}
    for row in rows:
        name = row.values["source"]
        if name not in source.classes:
            raise LabelSpaceError(
                f"{row.place}: {source.name} has no class {name!r}; it has {', '.join(source.classes)}"
            )
        if name in place:
            raise LabelSpaceError(f"{row.place}: {name} is in {place[name]} already")
        place[name] = row.place
        links[name] = _link(row, column, table)
    missing = [name for name in source.classes if name not in links]
    if missing:
        raise LabelSpaceError(
            f"{path}, after line {rows[-1].place.rsplit(' ', 1)[1]}: no row for {', '.join(missing)} of {source.name}; a "
            "class without a counterpart needs one too, with an empty target"
        )
    classes = _classes_of(table, target) if column == "labels" else tuple(range(target.num_classes))
    return Crosswalk(source, target, tuple(links[name] for name in source.classes), classes)


def _column(path: Path, columns: Sequence[str]) -> str:
    """Return which of target and labels a file has. Raises LabelSpaceError where its columns make no sense."""
    unknown = [column for column in columns if column not in _KNOWN]
    if unknown:
        raise LabelSpaceError(f"{path}: unknown column {', '.join(unknown)}; known are {', '.join(_KNOWN)}")
    named = [column for column in ("target", "labels") if column in columns]
    if "source" not in columns or len(named) != 1:
        raise LabelSpaceError(
            f"{path} needs the columns source and either target or labels; it has {', '.join(columns)}"
        )
    return named[0]


def _link(row: Row, column: str, table: LabelSpace) -> Link:
    cell, place = row.values[column], row.place
    names = [name.strip() for name in cell.split(";")] if cell else []
    if len(names) > 1 and cell in table.classes:
        if all(name in table.classes for name in names):
            raise LabelSpaceError(f"{place}: {cell} is one class of {table.name} and, by its parts, several; rename it")
        names = [cell]
    for name in names:
        if name not in table.classes:
            raise LabelSpaceError(f"{row.place}: {table.name} has no {name!r}; it has {', '.join(table.classes)}")
        if names.count(name) > 1:
            raise LabelSpaceError(f"{row.place}: {name} is named twice")
    row.truth("ambiguous")
    relation = row.values.get("relation") or ("equal" if names else "none")
    if relation not in (*_COVERS, *_NOTHING):
        legal = ", ".join((*_COVERS, *_NOTHING))
        raise LabelSpaceError(f"{row.place}: relation is {relation!r}; it must be one of {legal}")
    if bool(names) == (relation in _NOTHING):
        what = f"names {cell}" if names else "names nothing"
        raise LabelSpaceError(f"{row.place}: the relation is {relation}, but the row {what}")
    covers = row.values.get("covers") or _COVERS.get(relation, FULL)
    if covers not in (FULL, PARTLY):
        raise LabelSpaceError(f"{row.place}: covers is {covers!r}; it must be full or partly")
    return Link(tuple(table.classes.index(name) for name in names), covers == FULL, relation == "rest")


def _classes_of(table: LabelSpace, target: LabelSpace) -> tuple[int, ...]:
    return tuple(target.labels[name] for name in table.classes)
