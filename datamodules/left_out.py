"""What cannot be used of a dataset: refused with all that is wrong, or left out."""

from collections.abc import Sequence

from datamodules.errors import DatasetError, Defect, grouped, shortened
from datamodules.sample_index import IndexedDataModule
from datamodules.splits.sample_table import Candidate
from datamodules.splits.selection import with_selection
from datamodules.splits.split import make_table
from settings.base import as_typed
from settings.data import DataSettings

LISTED = 20  # causes that a message names


def leave_out(
    data: IndexedDataModule,
    broken: Sequence[tuple[str, str] | Defect],
    total: int,
    what: str,
    cannot_be: str = "read",
    *,
    advice: str = "",
    found: Sequence[Candidate] | None = None,
) -> None:
    """Record what is left out of `total`, if anything is. Raises DatasetError unless it is to be skipped.

    `advice` is what to do about them, where they are better not left out. `found`, where it is given, has all samples:
    skipping is advised only where those that remain can be split, and it is an error where none remain.
    """
    # A name that is not UTF-8 must still be printed and written.
    defects = [Defect(name.encode(errors="backslashreplace").decode(), *reason) for name, *reason in broken]
    if not defects:
        return
    settings, everything = data.settings, len(defects) >= total
    if settings.on_corrupt == "fail" or (everything and found is not None):
        obstacle = "nothing is left" if everything else _obstacle(settings, found or (), {name for name, *_ in broken})
        remedy = "mend or remove them, or leave them out with data.on_corrupt=skip"
        remedy = f"mend them, because without them {obstacle}" if obstacle else remedy
        lines = shortened(grouped(defects), LISTED, "\n  ")
        raise DatasetError(
            f"{len(defects)} of {total} {what} under data.root={as_typed(settings.root)} cannot be {cannot_be}; "
            f"{advice or remedy}:\n  {lines}"
        )
    data.skipped += [(defect.name, defect.reason) for defect in defects]
    data.notes.append(
        f"{what.capitalize()} that cannot be {cannot_be}: {len(defects)} of {total}; they are left out (data.on_corrupt=skip)."
    )


def _obstacle(settings: DataSettings, found: Sequence[Candidate], broken: set[str]) -> str | None:
    """Return why the samples that are not broken could not be split, or None."""
    left = [candidate for candidate in found if candidate.name not in broken]
    if lost := sorted({candidate.target for candidate in found} - {candidate.target for candidate in left}):
        return f"no sample of {shortened(lost)} is left"
    try:
        table = with_selection(make_table(left, settings)[0], settings) if found else None
    except DatasetError as error:
        return f"the split fails ({str(error).rstrip('.')})"
    needed = {"train": ("train",), "val": ("val", "test")}
    empty = [split for split, any_of in needed.items() if table and not any(map(table.indices, any_of))]
    return f"{' and '.join(empty)} would have no samples" if empty else None
