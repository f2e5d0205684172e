"""An ordered list of classes with colours."""

from dataclasses import dataclass


class LabelSpaceError(ValueError):
    """A label space that makes no sense; the message says which row and what to do."""


@dataclass(frozen=True)
class LabelSpace:
    """An ordered list of classes; the index of a class is its place in the list.

    Void (no class: ignored in truth, a miss in a prediction) is the index after the last class, so that
    a confusion matrix with its void row and column is square and contiguous.

    Args:
        name: what reports call it, such as ``idd_level3``.
        classes: class names, unique, in index order.
        colours: one (red, green, blue) in 0–255 per class, or nothing where there are none.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if repeated:
            raise LabelSpaceError(f"label space {self.name}: class names repeat: {', '.join(repeated)}")
        if self.colours and len(self.colours) != len(self.classes):
            raise LabelSpaceError(
                f"label space {self.name}: {len(self.colours)} colours for {len(self.classes)} classes; give one per class or none"
            )

    @property
    def num_classes(self) -> int:
        """How many classes there are, without void."""
        return len(self.classes)

    @property
    def void(self) -> int:
        """The index that stands for "no class"."""
        return len(self.classes)

    def index(self, name: str) -> int:
        """The index of a class name; raises LabelSpaceError where there is none such."""
        if name not in self.classes:
            raise LabelSpaceError(f"label space {self.name} has no class {name!r}; it has {', '.join(self.classes)}")
        return self.classes.index(name)
