"""Find how a root arranges images and masks, or write what was found in it and what to type."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from datamodules.errors import DatasetError, shortened
from datamodules.files.coco import CocoFile, is_coco
from datamodules.files.image_files import find_images
from datamodules.files.labelme import ENDING
from datamodules.files.layouts import MASK_WORDS, Layout, common_folder, recognise, split_in
from datamodules.files.masks import ARRAYS
from datamodules.files.patterns import Pattern, pair
from settings.base import override

IMAGES, MASKS = "images", "masks"
EQUAL_NAMES = Layout(f"{IMAGES}/{{name}}.*", f"{MASKS}/{{name}}.*")
JSON = frozenset({ENDING})
MOST_FILES = 50  # JSON files that are opened to find COCO's among them
MOST_LINES = 6  # that a message offers


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
