"""An ordered list of classes with colours."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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

    Args:
        name: as in reports, such as ``idd_level3``.
        classes: class names, unique, in index order.
        colours: one (red, green, blue) in 0–255 per class, or nothing where there are none.
        ids: the number of each class in a mask file; nothing where that is its index.
        void_ids: the numbers of no class in a mask file.
        labels: the index of each label that a dataset's annotations use, void for those that have no class here.
        levels: coarser label spaces, by name the index in them of each class of this one.
        important: the indices of the classes whose confusions cost most in Safe mIoU.
        script: the official evaluation script for this label space, where there is one.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()
    ids: tuple[int, ...] = ()
    void_ids: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    levels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    important: tuple[int, ...] = ()
    script: str = ""

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

    def index(self, name: str) -> int:
        """Return the index of a class name. Raises LabelSpaceError where there is no such class."""
        if name not in self.classes:
            raise LabelSpaceError(f"label space {self.name} has no class {name!r}; it has {', '.join(self.classes)}")
        return self.classes.index(name)

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
        for index, identity in enumerate(self.ids or range(self.num_classes)):
            table[identity] = index
        return tuple(table)


def names_beside(own: Collection[str], classes: Sequence[str]) -> list[str]:
    """Return the names of classes as keys beside others, `own`; a name that is one of these has `APART` appended.

    They are distinct, as the classes are.
    """
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
