"""Recognise how a folder arranges images and masks, from the names of its files, or write what was found in it and what to type."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, takewhile
from os.path import commonpath
from pathlib import Path, PurePosixPath

from datamodules.errors import DatasetError, shortened
from datamodules.files.coco import CocoFile, is_coco
from datamodules.files.image_files import find_images
from datamodules.files.labelme import ENDING
from datamodules.files.masks import ARRAYS
from datamodules.files.patterns import Pattern, pair
from datamodules.splits.sample_table import SPLIT_WORDS
from settings.base import override

MASK_WORDS = re.compile(
    r"mask|label|annot|gt|truth|seg|semantic|target|(?<![a-z])l(?![a-z])|lbl|(?<![a-z])ann(?![a-z])|colou?r|class",
    re.IGNORECASE,
)
# Masks of objects, not of classes, and other pictures that lie beside masks.
NOT_CLASSES = re.compile(r"inst|object|panoptic|depth|dispar|(?<![a-z])parts?(?![a-z])|overlay|vis", re.IGNORECASE)
SUFFIX = re.compile(r"(?:[_.-][A-Za-z][A-Za-z0-9]*)+$")
JPEG = frozenset({".jpg", ".jpeg", ".jfif"})
MOST_TOGETHER = 12  # files of one name beyond which names do not identify frames
IMAGES, MASKS = "images", "masks"
JSON = frozenset({ENDING})
MOST_FILES = 50  # JSON files that are opened to find COCO's among them
MOST_LINES = 6  # that a message offers


@dataclass(frozen=True)
class Layout:
    """Patterns that describe where images and masks are."""

    image: str
    mask: str
    count: int = 0  # pairs that were found

    @property
    def typed(self) -> str:
        """The patterns as they are typed in a shell."""
        return f"'data.image_pattern={self.image}' 'data.mask_pattern={self.mask}'"


EQUAL_NAMES = Layout(f"{IMAGES}/{{name}}.*", f"{MASKS}/{{name}}.*")


@dataclass(frozen=True, slots=True)
class _Place:
    """A file, seen as a frame's name within a folder of one kind of files."""

    file: str
    parts: tuple[str, ...]  # its folders
    kind: int | None  # the place among them of the folder that holds one kind of files, such as masks
    suffix: str  # the end of its name, likewise
    ending: str


def recognise(files: Iterable[str], mask_endings: Sequence[str] = (), *, by_words: bool = True) -> list[Layout]:
    """Return the layouts that pair the most files.

    Two files, POSIX paths relative to a root, belong together that differ in one folder, in a suffix of their names such as
    ``_mask``, or in both. With `by_words`, folders and suffixes must have a word such as mask or label where masks are, and
    none where images are; otherwise either file may be the mask, unless it is a JPEG. `mask_endings` are those that only
    masks have, such as ``.json``.
    """
    together: dict[tuple[str, ...], list[_Place]] = defaultdict(list)
    for file in files:
        for key, place in _places(file):
            together[key].append(place)
    pairs: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for places in together.values():
        if len(places) > MOST_TOGETHER:
            continue
        for one, other in permutations(places, 2):
            if _is_pair(one, other, mask_endings, by_words=by_words):
                any_ending = _words(one) != _words(other)  # else they differ in their endings alone
                patterns = _pattern(one, any_ending=any_ending), _pattern(other, any_ending=any_ending)
                pairs[patterns].add((one.file, other.file))
    shortest: dict[frozenset[tuple[str, str]], tuple[str, str]] = {}
    for patterns, files_of in sorted(pairs.items(), key=lambda item: (sum(map(len, item[0])), item[0])):
        shortest.setdefault(frozenset(files_of), patterns)
    most = max(map(len, shortest), default=0)
    whole = [each for each in shortest if 2 * len(each) > most and not any(each < others for others in shortest)]
    found = [Layout(*shortest[each], len(each)) for each in whole]
    return sorted(found, key=lambda layout: (-layout.count, layout.mask))


def common_folder(layout: Layout) -> str:
    """Return the folders that all files of a layout lie in; empty where there are none."""
    shared = commonpath([PurePosixPath(pattern).parent for pattern in (layout.image, layout.mask)])
    return "/".join(takewhile(lambda folder: "{" not in folder, shared.split("/")))


def suffixes(stem: str) -> list[str]:
    """Return the ends of a name that may show which kind of file it is, none ("") first: of ``a_color_mask`` also ``_mask``."""
    found = SUFFIX.search(stem, 1)
    return ["", *(found[0][sign.start() :] for sign in re.finditer(r"[_.-]", found[0]))] if found else [""]


def _places(file: str) -> Iterator[tuple[tuple[str, ...], _Place]]:
    """Yield the ways in which a file can be seen, each with what a file that belongs to it has in common with it."""
    path = PurePosixPath(file)
    parts, ending = path.parts[:-1], path.suffix.lower()
    for suffix in suffixes(path.stem):
        core = path.stem.removesuffix(suffix)
        for kind in (None, *range(len(parts))):
            rest = parts if kind is None else (*parts[:kind], *parts[kind + 1 :])
            split = "" if kind is None else split_in(parts[kind])[1]
            yield (*rest, split, core), _Place(file, parts, kind, suffix, ending)


def _is_pair(image: _Place, mask: _Place, mask_endings: Sequence[str], *, by_words: bool) -> bool:
    """Return whether two files that belong together are an image and its mask."""
    if mask_endings:
        return mask.ending in mask_endings and image.ending not in mask_endings
    of_image, of_mask = _words(image), _words(mask)
    if of_image == of_mask or mask.ending in JPEG or NOT_CLASSES.search(f"{of_image} {of_mask}"):
        return False
    named = bool(MASK_WORDS.search(of_mask)), bool(MASK_WORDS.search(of_image))
    return named == (True, False) if by_words else named[0] >= named[1]


def _words(place: _Place) -> str:
    """Return the folder and the suffix that tell which kind of file it is."""
    return f"{'' if place.kind is None else place.parts[place.kind]} {place.suffix}"


@cache  # folders repeat
def split_in(part: str) -> tuple[str, str]:
    """Return a folder's name with ``{split}`` for the split in it, and that split; the name and "" where there is none."""
    for word in sorted(SPLIT_WORDS, key=len, reverse=True):
        for found in re.finditer(re.escape(word), part, re.IGNORECASE):
            before, after = part[: found.start()], part[found.end() :]
            sides = ((before, -1), (after, 0))
            alone = all(not text or not text[edge].isalpha() or MASK_WORDS.match(text) for text, edge in sides)
            if alone:
                return f"{before}{{split}}{after}", SPLIT_WORDS[word]
    return part, ""


def _pattern(place: _Place, *, any_ending: bool) -> str:
    """Return the pattern of a file: folders up to that of its kind, the split below it, and the rest as the frame's name."""
    first = 0 if place.kind is None else place.kind + 1
    named = [split_in(part)[0] for part in place.parts[:first]]
    if "{split}" not in "".join(named) and len(place.parts) > first:
        below, split = split_in(place.parts[first])
        named += [below] if split else []
    return "/".join([*named, f"{{name}}{place.suffix}{'.*' if any_ending else place.ending}"])


def find_layout(root: Path, mask_endings: Sequence[str] = ()) -> Layout:
    """Return where images and masks are: in ``images`` and ``masks`` if some have equal names, else as names show.

    `mask_endings` are endings that only masks have, such as ``.json``; nothing where masks are images. Raises DatasetError,
    with what was found and what to type, where names show no layout or several.
    """
    usual = not mask_endings and all((root / folder).is_dir() for folder in (IMAGES, MASKS))
    if usual:
        images, masks = (Pattern(text).find(root, ARRAYS) for text in (EQUAL_NAMES.image, EQUAL_NAMES.mask))
        if pair(images, masks, by_split=False).pairs:
            return EQUAL_NAMES
    files = find_images(root, further=ARRAYS.union(mask_endings))
    found = recognise(files, mask_endings)
    inner = list(dict.fromkeys(map(common_folder, found)))
    if len(found) == 1 and not inner[0]:
        return found[0]
    if inner and all(inner):
        typed = " or ".join(override("data.root", str(root / folder)) for folder in inner)
        raise DatasetError(f"data.root={root} is too high: images and masks are in {shortened(inner)}. Type {typed}")
    if usual:
        return EQUAL_NAMES
    raise DatasetError(_unknown(root, files, found, mask_endings))


def find_coco(root: Path, pattern: str | None) -> dict[str, CocoFile]:
    """Return the files of COCO instances below a root, by their paths: those that `data.mask_pattern` means, else all.

    Raises DatasetError where there are none, or too many files to open them all.
    """
    if pattern is not None:
        found = Pattern(pattern, "data.mask_pattern").find(root, JSON, images=False)
        names = [each.file for each in found]
    else:
        names = _json_files(root)
        names = [name for name in names if is_coco(root / name)] if len(names) <= MOST_FILES else []
    if not names:
        there = _json_files(root)
        raise DatasetError(
            f"data.masks=coco: data.root={root} has {len(there) or 'no'} JSON files{': ' * bool(there)}{shortened(there)}. Type "
            "which have images, annotations and categories, such as data.mask_pattern=annotations/instances_{split}.json"
        )
    return {name: CocoFile(root / name) for name in names}


def _json_files(root: Path) -> list[str]:
    return [name for name in find_images(root, further=JSON) if name.lower().endswith(ENDING)]


def _unknown(root: Path, files: Sequence[str], found: Sequence[Layout], mask_endings: Sequence[str]) -> str:
    """Return the message for a root whose layout is not certain."""
    message = f"data.root={root} has no folders {IMAGES} and {MASKS}, and the names of its files do not show "
    if found:
        lines = "\n  ".join(layout.typed for layout in found[:MOST_LINES])
        return f"{message}which of several files are the masks. Type one of:\n  {lines}"
    around = _layout_around(root, mask_endings)
    if around is not None:
        return f"{message}masks, but those of the folder around it do. Type {override('data.root', str(around))}"
    outlines = [file for file in files if file.lower().endswith(tuple(mask_endings))] if mask_endings else []
    counts = Counter(PurePosixPath(file).parent.as_posix() for file in files if file not in outlines)
    if mask_endings and not outlines:
        return f"data.root={root} has no {' or '.join(mask_endings)} file, of which each image needs one; images: {counts.total()}."
    folders = [f"{folder} ({count})" for folder, count in counts.most_common()]
    entries = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    there = f"images in {shortened(folders)}" if folders else f"no images, but {shortened(entries) or 'nothing at all'}"
    guesses = recognise(files, by_words=False) if not mask_endings else []
    lines = "".join(f"\n  {layout.typed}" for layout in guesses[:MOST_LINES] or [_template(counts, *mask_endings[:1])])
    return (
        f"{message}where images and masks are. Found: {there}. Understood are {IMAGES}/NAME.* with {MASKS}/NAME.*, train/NAME.* with "
        "trainannot/NAME.*, NAME.jpg with NAME_mask.png, and other folders and suffixes with a word such as mask, label, annot or "
        f"gt, split folders included. For others type where they are, such as:{lines}"
    )


def _template(counts: Counter[str], ending: str = ".png") -> Layout:
    """Return patterns with the folders that have the most images."""
    folders = [folder for folder, _ in counts.most_common(2)]
    image, mask = (folders * 2)[:2] if folders else (IMAGES, MASKS)
    start = "" if image == "." else f"{image}/"
    suffix = "_mask" if image == mask and ending == ".png" else ""
    return Layout(f"{start}{{name}}.jpg", f"{'' if mask == '.' else f'{mask}/'}{{name}}{suffix}{ending}")


def _layout_around(root: Path, mask_endings: Sequence[str]) -> Path | None:
    """Return the folder around a root that is one of images, of masks or of a split, if its layout is certain."""
    name, around = root.absolute().name, root.absolute().parent
    one_kind = name.lower().startswith(("im", "jpeg", "left")) or MASK_WORDS.search(name) or split_in(name)[1]
    if not one_kind:
        return None
    found = recognise(find_images(around, further=frozenset(mask_endings)), mask_endings)
    return around if len(found) == 1 and not common_folder(found[0]) else None
