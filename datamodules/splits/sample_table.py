"""Which samples there are, of which class, and which split each is in."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from fractions import Fraction
from pathlib import Path

from datamodules.errors import DatasetError
from run_folder import csv_text, write_text

SPLITS = ("train", "val", "test")
SELECTION = "select"  # a piece of train on which the best checkpoint is chosen, where val is what is reported
SELECTION_SHARE = Fraction(1, 10)  # of what could be trained on
TABLE_SPLITS = ("train", SELECTION, "val", "test")
COLUMNS = ("sample", "group", "target", "split")
# Words that folders, files and cells of tables are named after.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
# What such names have besides: train_set, images-train, trainset, seg_train, train2017.
_BESIDE = "sets?|data|dataset|images?|imgs?|photos?|pictures?|pics?|frames?|samples?|splits?|folders?|seg"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A usable sample before it is split."""

    name: str  # POSIX path relative to the data root; a crop is path#object
    group: str  # such as a drive, which a split by group keeps whole; the name itself where there are none
    target: str  # class
    split: str | None = None  # the dataset's own
    content: str | None = None  # a hash of the file; samples of equal content always land on the same side


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of the split table, named as a `Candidate`; `split` is train, select, val or test."""

    name: str
    group: str
    target: str
    split: str


class SampleTable:
    """The samples, sorted by name, each in one split. Raises DatasetError for a repeated name or an unknown split."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples = tuple(sorted(samples, key=lambda sample: sample.name))
        for before, sample in zip(self.samples, self.samples[1:], strict=False):
            if before.name == sample.name:
                raise DatasetError(f"sample {sample.name} stands twice in the split table; keep one row of it.")
        for sample in self.samples:
            if sample.split not in TABLE_SPLITS:
                raise DatasetError(f"sample {sample.name}: unknown split {sample.split!r}; use {', '.join(SPLITS)}.")

    def __len__(self) -> int:
        return len(self.samples)

    def indices(self, split: str) -> list[int]:
        """Return the positions of a split's samples, ascending."""
        return [position for position, sample in enumerate(self.samples) if sample.split == split]

    @property
    def is_complete(self) -> bool:
        """Whether train, val and test all have samples."""
        return {*SPLITS} <= {sample.split for sample in self.samples}

    def counts(self, split: str) -> dict[str, int]:
        """Return how many samples a split has of each class of the whole table, in sorted order."""
        counts = Counter(sample.target for sample in self.samples if sample.split == split)
        return {target: counts[target] for target in sorted({sample.target for sample in self.samples})}

    def csv_text(self, split: str | None = None) -> str:
        """Return the CSV text, header included, of all rows or of one split's."""
        return csv_text([COLUMNS, *(astuple(sample) for sample in self.samples if split in {None, sample.split})])

    def sha256(self, split: str | None = None) -> str:
        """Return the hexadecimal SHA-256 of `csv_text` in UTF-8."""
        return hashlib.sha256(self.csv_text(split).encode()).hexdigest()

    def write_csv(self, path: Path) -> None:
        """Write the table with the columns sample, group, target, split; the name appears only when all is written."""
        write_text(path, self.csv_text())


def order_hash(seed: int, name: str) -> int:
    """Return a number in [0, 2**64) that orders samples and depends on the seed and the sample's name alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")


def stratified_order(candidates: Iterable[Candidate], seed: int) -> list[Candidate]:
    """Return all samples in a hashed order of which every prefix holds each class, of each split, in proportion.

    Rank r of n in its class, by hash, has the place (r + 1/2)/n; the order is by place, then by hash.
    """
    classes = defaultdict(list)
    for candidate in candidates:
        classes[candidate.split, candidate.target].append((order_hash(seed, candidate.name), candidate.name, candidate))
    ranked = ((len(members), enumerate(sorted(members))) for members in classes.values())
    places = [((rank + 0.5) / size, *member) for size, members in ranked for rank, member in members]
    return [candidate for *_, candidate in sorted(places, key=lambda place: place[:3])]


def torn_groups(members: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return, of (group, split), the groups in several splits, sorted, and these splits, train first, test last."""
    found: dict[str, set[str]] = {}
    for group, split in members:
        found.setdefault(group, set()).add(split)
    return {group: sorted(splits, key=TABLE_SPLITS.index) for group, splits in sorted(found.items()) if len(splits) > 1}


def split_of(name: str) -> str | None:
    """Return train, val or test where a name is a usual word for it, in any case and with or without numbers; else None."""
    words = [word for word in re.findall("[a-z]+", name.casefold()) if not re.fullmatch(_BESIDE, word)]
    joined = "".join(words)
    bare = re.sub(f"^(?:{_BESIDE})|(?:{_BESIDE})$", "", joined)
    return SPLIT_WORDS.get(joined) or SPLIT_WORDS.get(bare)
