"""The folds of a cross-validation: each sample is in one of them, whichever of them is tested."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from datamodules.errors import DatasetError, shortened
from datamodules.splits.group_assignment import Unit, deal
from datamodules.splits.sample_table import SELECTION_SHARE, SPLITS, Candidate, Sample, SampleTable, order_hash
from settings.data import DataSettings

OTHER_FOLDS = "Type fewer folds or another data.split_seed, or leave such a class out."

Sizes = dict[str, int]


def split_by_folds(found: Sequence[Candidate], settings: DataSettings) -> tuple[SampleTable, Sizes]:
    """Deal samples, sorted by name, to `settings.folds` folds; `settings.fold` is test, a part of the others val.

    Returns the table, and the sizes that the splits would have if each sample could be placed alone. Raises DatasetError, the same
    for each fold, where one of them cannot be tested.
    """
    number, by_group = int(settings.folds or 0), settings.split_by == "group"
    sizes = {str(fold): len(found[fold::number]) for fold in range(number)}
    dealt = deal(found, dict.fromkeys(sizes, Fraction(1, number)), sizes, by_group=by_group, seed=settings.split_seed)
    _check(dealt, settings)
    own = str(settings.fold)
    tables = {fold: _table_of(fold, dealt, settings) for fold in sizes if fold == own or _is_narrow(fold, dealt)}
    for fold, table in tables.items():
        lacking = [target for target, count in table.counts("train").items() if count == 0]
        empty = [split for split in SPLITS if not table.indices(split)]
        if lacking or empty:
            what = f"no sample of {shortened(lacking)} in train" if lacking else f"no sample in {empty[0]}"
            raise _refusal(settings, f"where fold {fold} is tested, there would be {what}")
    rest = len(found) - sizes[own]
    val = int(_val_share(settings) * rest)
    return tables[own], {"train": rest - val, "val": val, "test": sizes[own]}


def _is_narrow(fold: str, dealt: Mapping[Unit, str]) -> bool:
    """Return whether the other folds have so few units of a class that train could be left without it."""
    classes = {target for unit in dealt for target in unit.counts}
    units = Counter(target for unit, place in dealt.items() if place != fold for target in unit.counts)
    return min(units[target] for target in classes) < len(SPLITS)


def _check(dealt: Mapping[Unit, str], settings: DataSettings) -> None:
    """Raise DatasetError for fewer units than folds, or than splits, and where a fold lacks a class that all could have."""
    number = int(settings.folds or 0)
    what = "groups without a file in common" if settings.split_by == "group" else "different images"
    if len(dealt) < (least := max(number, len(SPLITS))):
        raise _refusal(settings, f"there are {len(dealt)} {what}, and {least} or more are needed", "Type fewer folds.")
    for target in sorted({target for unit in dealt for target in unit.counts}):
        holding = [fold for unit, fold in dealt.items() if target in unit.counts]
        if len(holding) >= number > len({*holding}):
            raise _refusal(settings, f"{target} is in {len({*holding})} folds only")


def _refusal(settings: DataSettings, why: str, remedy: str = OTHER_FOLDS) -> DatasetError:
    of_fraction = f", data.fraction={settings.fraction}" if settings.fraction < 1 else ""
    return DatasetError(f"data.folds={settings.folds}{of_fraction}, data.split_by={settings.split_by}: {why}. {remedy}")


def _table_of(fold: str, dealt: Mapping[Unit, str], settings: DataSettings) -> SampleTable:
    """Return the table in which a fold is test, and a part of the others, another one for each fold, is val."""
    test = [member for unit, place in dealt.items() if place == fold for member in unit.members]
    rest = sorted((c for unit, place in dealt.items() if place != fold for c in unit.members), key=lambda c: c.name)
    share = _val_share(settings)
    val = max(1, int(share * len(rest)))
    parts = deal(
        rest,
        {"train": 1 - share, "val": share},
        {"train": len(rest) - val, "val": val},
        by_group=settings.split_by == "group",
        seed=order_hash(settings.split_seed, f"val of fold {fold}"),
    )
    placed = [(member, "test") for member in test]
    placed += [(member, split) for unit, split in parts.items() for member in unit.members]
    return SampleTable(Sample(c.name, c.group, c.target, split) for c, split in placed)


def _val_share(settings: DataSettings) -> Fraction:
    """Return the part of the folds that are not tested on which the best checkpoint is chosen."""
    return SELECTION_SHARE if isinstance(settings.split, str) else settings.fractions()["val"]
