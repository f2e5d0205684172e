"""An ordered list of classes with colours."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

Colour = tuple[int, int, int]  # red, green and blue in 0–255
NO_ID = 255  # the value in `LabelSpace.index_of_id` for ids that the label space does not have


VOID = "void"  # what no class is called in tables
APART = " (class)"  # follows a class's name where it stands beside a name of the project's own


class LabelSpaceError(ValueError):
    """A label space that makes no sense; the message names the row and what to do."""


@dataclass(frozen=True)
class LabelSpace:
    """An ordered list of classes; the index of a class is its place in the list.

    Void (no class: ignored in truth, a miss in a prediction) is the index after the last class, so that
    a confusion matrix with its void row and column is square and contiguous.
    """

    name: str  # as in reports, such as idd_level3
    classes: tuple[str, ...]  # names, unique, in index order
    colours: tuple[Colour, ...] = ()  # one per class, or nothing where there are none
    ids: tuple[int, ...] = ()  # the number of each class in a mask file; nothing where that is its index
    void_ids: tuple[int, ...] = ()  # the numbers of no class in a mask file
    void_colours: tuple[Colour, ...] = ()  # the colours of no class in a mask file, beside black
    further_ids: Mapping[int, int] = field(default_factory=dict)  # further numbers of classes there, with their indices
    # The index of each label that a dataset's annotations use, void for those that have no class here.
    labels: Mapping[str, int] = field(default_factory=dict)
    # Coarser label spaces, by name the index in them of each class of this one.
    levels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    important: tuple[int, ...] = ()  # the indices of the classes whose confusions cost most in Safe mIoU
    script: str = ""  # the official evaluation script for this label space, where there is one

    def __post_init__(self) -> None:
        repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if repeated:
            raise LabelSpaceError(f"label space {self.name}: class names repeat: {', '.join(repeated)}")
        for what, values in (("colours", self.colours), ("ids", self.ids)):
            if values and len(values) != len(self.classes):
                raise LabelSpaceError(
                    f"label space {self.name}: {len(values)} {what} for {len(self.classes)} classes; give one per class or none"
                )

    @property
    def num_classes(self) -> int:
        """The number of classes, without void."""
        return len(self.classes)

    @property
    def void(self) -> int:
        """The index of "no class"."""
        return len(self.classes)

    def id_of_index(self) -> tuple[int, ...]:
        """Return the number in a mask file of each class and, last, of void: one of `void_ids`, else an unused one."""
        ids = self.ids or tuple(range(self.num_classes))
        free = next((number for number in range(NO_ID, -1, -1) if number not in ids), NO_ID)
        return (*ids, max(self.void_ids, default=free))

    def index_of_id(self) -> tuple[int, ...]:
        """Return for each number 0–255 of a mask file its class index, void for those of no class, NO_ID for unknown ones."""
        table = [NO_ID] * 256
        for identity in self.void_ids:
            table[identity] = self.void
        for identity, index in self.further_ids.items():
            table[identity] = index
        for index, identity in enumerate(self.ids or range(self.num_classes)):
            table[identity] = index
        return tuple(table)

    def legal_ids(self) -> list[int]:
        """Return the numbers 0–255 that a mask file may hold, ascending."""
        return [identity for identity, index in enumerate(self.index_of_id()) if index != NO_ID]

    def with_void(self, ids: Collection[int]) -> "LabelSpace":
        """Return the label space in which these ids are no class; classes that have them are left out.

        Raises LabelSpaceError where a class is to be left out of a label space with coarser levels, or the last one.
        """
        if not ids:
            return self
        own = self.ids or tuple(range(self.num_classes))
        kept = [index for index, identity in enumerate(own) if identity not in ids]
        place = {index: new for new, index in enumerate(kept)}
        if len(kept) < len(own) and (self.levels or not kept):
            out = ", ".join(name for name, identity in zip(self.classes, own, strict=True) if identity in ids)
            why = "its coarser levels need them" if self.levels else "no class would be left"
            raise LabelSpaceError(f"{out} of {self.name} cannot be no class: {why}")
        void = len(kept)
        return replace(
            self,
            classes=tuple(self.classes[index] for index in kept),
            colours=tuple(self.colours[index] for index in kept) if self.colours else (),
            ids=tuple(own[index] for index in kept) if len(kept) < len(own) else self.ids,
            void_ids=tuple(sorted({*self.void_ids, *ids})),
            void_colours=(*self.void_colours, *(c for i, c in enumerate(self.colours) if i not in place)),
            further_ids={i: place[c] for i, c in self.further_ids.items() if i not in ids and c in place},
            labels={name: place.get(index, void) for name, index in self.labels.items()},
            important=tuple(place[index] for index in self.important if index in place),
        )


def names_beside(own: Collection[str], classes: Sequence[str]) -> list[str]:
    """Return classes' names as distinct keys beside others, `own`; a name that is one of these has `APART` appended."""
    taken = {*own, *classes}
    found = []
    for name in classes:
        key = name
        while name in own and key in taken:
            key += APART
        taken.add(key)
        found.append(key)
    return found


def normalised(name: str) -> str:
    """Return a name in the one of Unicode's ways of writing it that keyboards make (NFC): é as a single character."""
    return unicodedata.normalize("NFC", name)


def same_names(names: Iterable[str]) -> list[list[str]]:
    """Return the names that Unicode writes in several ways: groups that nobody can tell apart by reading them."""
    return _alike(names, normalised)


def similar_names(names: Iterable[str]) -> list[list[str]]:
    """Return the names that differ only in capitals, spaces or the width or form of letters, in groups."""
    return _alike(names, lambda name: " ".join(unicodedata.normalize("NFKC", name).casefold().split()))


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]
