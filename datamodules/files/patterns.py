"""Patterns of paths such as ``{split}/images/{name}.*``: which files below a folder are meant, and which belong together."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path, PurePosixPath

from datamodules.errors import DatasetError, Defect
from datamodules.files.image_files import find_images
from datamodules.splits.listed import folded
from datamodules.splits.sample_table import SPLIT_WORDS
from label_spaces.space import normalised

Key = tuple[str, ...]

TOKENS = re.compile(r"\{(\w*)\}|(\*\*/?|\*|\?)")
ANY_ENDING = ".*"


@dataclass(frozen=True)
class Match:
    """A file that a pattern means."""

    file: str  # POSIX path relative to the root
    values: Mapping[str, str]  # what stands for each placeholder, and for wildcards by their number
    fields: tuple[str, ...]  # the placeholders that identify the frame, sorted
    split: str | None  # of ``{split}``, else of the first folder of ``{name}`` where that is a split's

    @cached_property
    def key(self) -> Key:
        """What identifies the frame, ``{split}`` apart."""
        return tuple(self.values[name] for name in self.fields)

    @cached_property
    def full_key(self) -> Key:
        """The same with the file's ending, for masks that are called ``a.jpg.png`` beside ``a.jpg`` and ``a.png``."""
        return (*self.key[:-1], self.key[-1] + PurePosixPath(self.file).suffix)


class Pattern:
    """A pattern of POSIX paths relative to a root.

    ``{split}`` stands for a folder name of a split (or a part of a name), ``{name}`` for any text, folders included, any
    other ``{word}`` for a text within a folder's or file's name. ``*`` and ``?`` stand for any text and any character within
    a name, ``**`` for any folders, ``.*`` at the end for any ending. Files belong together whose placeholders have equal
    texts; in a pattern without placeholders other than ``{split}``, the wildcards count as such. `key` is the setting's
    name, for messages.
    """

    def __init__(self, text: str, key: str = "data.image_pattern") -> None:
        self.text, self.setting = text, f"{key}={text}"
        first = TOKENS.search(text)
        self.folder = text[: text.rfind("/", 0, first.start() if first else None) + 1].rstrip("/")
        placeholders = [found[1] for found in TOKENS.finditer(text) if found[1]]
        self.has_split = "split" in placeholders
        named = sorted({*placeholders} - {"split"})
        self._regex = re.compile("".join(self._pieces(text)))
        self.fields = tuple(named or (name for name in self._regex.groupindex if name.startswith("wild")))

    def _pieces(self, text: str) -> Iterable[str]:
        """Yield the parts of the regular expression."""
        ending = text.endswith(ANY_ENDING)
        known = None if ending else re.search(r"\.\w+$", text)
        literal = known[0] if known else ""
        body = text[: len(text) - len(ANY_ENDING if ending else literal)]
        place, seen, wild = 0, set[str](), 0
        for found in TOKENS.finditer(body):
            yield re.escape(body[place : found.start()])
            place = found.end()
            name, symbol = found.groups()
            if name in seen:
                yield f"(?P={name})"
            elif symbol is None:
                seen.add(name)
                words = "|".join(sorted(map(re.escape, SPLIT_WORDS), key=len, reverse=True))
                yield f"(?P<{name}>{f'(?i:{words})' if name == 'split' else '.+' if name == 'name' else '[^/]+'})"
            else:
                wild += 1
                form = {"?": "[^/]", "*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}[symbol]
                yield f"(?P<wild{wild:02}>{form})"
        yield re.escape(body[place:])
        yield r"\.[^./]+" if ending else f"(?i:{re.escape(literal)})"

    def match(self, file: str) -> Match | None:
        """Return what a path stands for; None where the pattern does not mean it."""
        found = self._regex.fullmatch(file)
        if found is None:
            return None
        values, split = found.groupdict(), None
        if self.has_split:
            split = SPLIT_WORDS[values["split"].lower()]
        elif self.fields and "/" in (last := values[self.fields[-1]]):
            split = SPLIT_WORDS.get(last.split("/")[0].lower())
        return Match(file, values, self.fields, split)

    def find(self, root: Path, further: frozenset[str] = frozenset(), *, images: bool = True) -> list[Match]:
        """Return, sorted, what is meant below a root: `images`, `further` endings. Raises DatasetError for no folder."""
        folder = root / self.folder
        if not folder.is_dir():
            raise DatasetError(f"{self.setting}: data.root={root} has no folder {self.folder}.")
        prefix = f"{self.folder}/" if self.folder else ""
        files = (f"{prefix}{name}" for name in find_images(folder, further=further))
        files = (file for file in files if images or PurePosixPath(file).suffix.lower() in further)
        return [found for file in files if (found := self.match(file))]

    def example(self, values: Mapping[str, str], ending: str) -> str:
        """Return the path that the pattern means for some values, with `ending` for any."""
        text = self.text.removesuffix(ANY_ENDING)
        filled = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)
        return filled + (ending if text != self.text else "")


@dataclass
class Pairs:
    """Images with their masks, what is left over, and what was paired although the names differ."""

    pairs: list[tuple[Match, Match]] = field(default_factory=list)
    images: list[Match] = field(default_factory=list)  # without a mask
    masks: list[Match] = field(default_factory=list)  # without an image
    repeated: list[Defect] = field(default_factory=list)
    inexact: list[tuple[Match, Match]] = field(default_factory=list)


def check_comparable(image: Pattern, mask: Pattern) -> None:
    """Raise DatasetError where the placeholders of two patterns cannot pair their files."""
    for pattern in (image, mask):
        if not pattern.fields:
            raise DatasetError(f"{pattern.setting} means one file; put {{name}} where the names of frames differ.")
    if image.fields != mask.fields:
        only = [name for name in (*image.fields, *mask.fields) if (name in image.fields) != (name in mask.fields)]
        what = "wildcards" if only[0].startswith("wild") else f"placeholder {{{only[0]}}}"
        raise DatasetError(
            f"{image.setting} and {mask.setting} do not have the same {what}, so that their files cannot be paired; "
            "put {name} into both where the name of a frame stands."
        )


def pair(images: Sequence[Match], masks: Sequence[Match], *, by_split: bool) -> Pairs:
    """Pair images and masks of equal keys and, with `by_split`, of equal splits.

    What is left is paired where names differ only in Unicode form, then in case, then where the mask is called as the
    whole image file, each time only where there is one candidate on both sides.
    """
    found, taken = Pairs(), set[str]()

    def keyed(matches: Sequence[Match], fold: Callable[[Match], Key]) -> dict[Key, list[Match]]:
        by_key: dict[Key, list[Match]] = defaultdict(list)
        for each in matches:
            if each.file not in taken:
                by_key[((each.split or "") * by_split, *fold(each))].append(each)
        return by_key

    exact: Callable[[Match], Key] = attrgetter("key")
    full: Callable[[Match], Key] = attrgetter("full_key")
    alike = (lambda found, form=form: tuple(map(form, found.key)) for form in (normalised, folded))
    for level, fold in enumerate((exact, *alike, full)):
        left = keyed(masks, exact if fold is full else fold)
        for key, some in keyed(images, fold).items():
            others = left.get(key, [])
            if len(some) == len(others) == 1:
                found.pairs.append((some[0], others[0]))
                found.inexact += found.pairs[-1:] if level in (1, 2) else []
            elif level == 0 and others:
                several = some if len(some) > 1 else others
                names = ", ".join(PurePosixPath(each.file).name for each in several)
                reason = f"there are several files of this name: {names}"
                found.repeated += [Defect(each.file, reason) for each in several]
            else:
                continue
            taken |= {each.file for each in (*some, *others)}
    found.pairs.sort(key=lambda each: each[0].file)
    found.images = [each for each in images if each.file not in taken]
    found.masks = [each for each in masks if each.file not in taken]
    return found
