"""What the folders under a root are: classes, or ready splits with a folder per class in each."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.files.image_files import find_images, list_folder, visible, visible_images
from datamodules.files.other_files import remedy
from datamodules.splits.sample_table import SPLITS
from datamodules.splits.split_names import split_of
from settings.base import as_typed, override, quoted

DEEPEST = 3  # folders below the root in which a usable dataset is looked for
MOST_SHOWN = 6  # folders in a sentence
MOST_TYPED = 20  # in a line to type

Image = tuple[str, str, str | None]  # name, class, and its folder's split


def inner_folders(root: Path) -> dict[str, list[str]]:
    """Return the visible folders in a folder, and those in each of them, sorted."""
    unused: Counter[str] = Counter()
    return {name: visible(list_folder(root / name)[0], unused) for name in visible(list_folder(root)[0], unused)}


def ready_folders(root: Path, *, classes_within: bool = True) -> dict[str, str]:
    """Return the split of each folder that is named after one; nothing where there are not train and another one.

    Folders without folders within are left out, unless their images have classes otherwise. Raises DatasetError where
    two folders are for one split.
    """
    inner = inner_folders(root)
    ready = {name: split for name in inner if (split := split_of(name)) and (inner[name] or not classes_within)}
    if "train" not in ready.values() or len(set(ready.values())) < 2:
        return {}
    for split in SPLITS:
        folders = [name for name in ready if ready[name] == split]
        if len(folders) > 1:
            raise DatasetError(
                f"data.root={root} holds both {' and '.join(folders)}; keep one folder for {split}, or type which are meant: "
                f"{typed_folders(ready)}"
            )
    return ready


def typed_folders(split_of_folder: Mapping[str, str]) -> str:
    """Return how these folders are typed as those of the splits."""
    folders = {
        split: [folder for folder in split_of_folder if split_of_folder[folder] == split]
        for split in SPLITS
        if split in split_of_folder.values()
    }
    plain = {split: names[0] if len(names) == 1 else names for split, names in folders.items()}
    return f"data.split=folders 'data.folders={as_typed(plain)}'"


def ambiguity(root: Path) -> str | None:
    """Return why folders that are no ready splits may not be classes either, and both answers; None without ambiguity."""
    inner = inner_folders(root)
    named = {name: split for name in inner if (split := split_of(name))}
    both = len(set(named.values())) > 1
    if len(inner) < 2 or not (named or _are_alike(root, inner)):
        return None
    classes = (
        f"if they are classes, type 'data.classes=[{shortened([quoted(name) for name in inner], MOST_TYPED, ',')}]'"
    )
    within = next((name for name in named if len(inner[name]) > 1 and not _has_images(root / name)), None)
    if _are_alike(root, inner):
        same = shortened(max(inner.values(), key=len), MOST_SHOWN)
        return (
            f"data.root={root}: all its folders ({shortened(list(inner), MOST_SHOWN)}) hold the same folders ({same}). If they are "
            f"splits, type which, such as {typed_folders(_example(inner, named))}; {classes}."
        )
    if within and (both or named[within] == "train"):
        others = [name for name in named if name != within]
        then = f", and predict the others with predict.py {override('source', str(root / others[0]))}" if others else ""
        without = (
            f", but {shortened(others)} none, so that their images have no class" if others else " and no images itself"
        )
        return (
            f"data.root={root}: {within} holds folders ({shortened(inner[within], MOST_SHOWN)}){without}. If {within} is what is to be "
            f"split, type {override('data.root', str(root / within))}{then}; {classes}."
        )
    if both:
        return (
            f"data.root={root}: {' and '.join(named)} are named like splits, but hold no class folders. If they are splits, put a folder "
            f"per class into each, or give the classes in a table: data.split=folders data.labels=FILE.csv; {classes}."
        )
    return None


def _example(folders: Collection[str], named: Mapping[str, str]) -> dict[str, str]:
    """Return a split for each folder: that of its name, for the others one that is lacking."""
    rest = [name for name in folders if name not in named]
    has_train, reported = "train" in named.values(), len(set(named.values()) - {"train"})
    last = "test" if has_train or not reported else "train"
    first = "train" if not has_train else "val" if len(rest) > 1 else "test"
    return {**named, **dict.fromkeys(rest, first), **dict.fromkeys(rest[-1:], last)}


def _are_alike(root: Path, inner: Mapping[str, Sequence[str]]) -> bool:
    """Whether all folders hold the same two or more folders and no images, or those of a folder named after a split."""
    largest = max(map(set, inner.values()), key=len, default=set())
    same = all(set(names) == largest for names in inner.values())
    of_train = any(split_of(name) and set(inner[name]) == largest for name in inner)
    within = of_train and all(names and set(names) <= largest for names in inner.values())
    return len(largest) > 1 and (same or within) and not any(_has_images(root / name) for name in inner)


def _has_images(folder: Path) -> bool:
    return bool(visible_images(folder, list_folder(folder)[1], Counter()))


def scan(
    root: Path, ready: Mapping[str, str], classes: Collection[str] | None = None
) -> tuple[list[Image], Counter[str]]:
    """Find the images of each class below `root` or the `ready` folders of the splits, without decoding them.

    Returns the images, and by kind how many other files and folders there are. `classes` are the folders that are meant,
    all by default. Raises DatasetError where there are no images or no class folders, a class folder has no image, or
    there is one class only; it names the folder within that would do.
    """
    found: list[Image] = []
    ignored: Counter[str] = Counter()
    stray, empty, seen = 0, [], set()
    if ready:
        folders, files = list_folder(root)
        stray += len(visible_images(root, files, ignored))
        ignored["folders beside " + ", ".join(ready)] += len(set(visible(folders, ignored)) - ready.keys())
    for place, split in ready.items() or [(".", None)]:
        folders, files = list_folder(root / place)
        stray += len(visible_images(root / place, files, ignored))
        for target in visible(folders, ignored):
            if classes is not None and target not in classes:
                ignored["folders that are not in data.classes"] += 1
                continue
            folder = (Path(place) / target).as_posix()
            images = find_images(root / folder, ignored)
            found += [(f"{folder}/{name}", target, split) for name in images]
            seen.add(target)
            empty += [] if images else [folder]
    _check_classes(root, seen, classes)
    problem = _problem(stray, empty, seen, is_empty=not any(list_folder(root)))
    if problem:
        raise DatasetError(
            " ".join(filter(None, (f"data.root={root} {problem}", remedy(ignored), inside(root), tables(root))))
        )
    _check_shared(root, ready, found)
    ignored["images outside class folders"] += stray
    return found, ignored


def _check_shared(root: Path, ready: Mapping[str, str], images: Sequence[Image]) -> None:
    """Raise DatasetError where the folders of a split are no classes: none of them is in train."""
    classes: dict[str, set[str]] = {}
    for name, target, _ in images if ready else ():
        classes.setdefault(name.split("/")[0], set()).add(target)
    learnt = {target for folder, split in ready.items() if split == "train" for target in classes.get(folder, ())}
    strange = {folder: names for folder, names in classes.items() if not names & learnt}
    kept = {folder: split for folder, split in ready.items() if folder not in strange}
    if strange:
        folder, names = next(iter(strange.items()))
        otherwise = (
            f"leave it out with {typed_folders(kept)}"
            if len(set(kept.values())) > 1
            else f"split train alone with {override('data.root', str(root / next(iter(kept))))}"
        )
        raise DatasetError(
            f"data.root={root}: {folder} holds the folders {shortened(sorted(names), MOST_SHOWN)}, of which train has none, so that they "
            f"are no classes. Sort its images into folders of train's classes, or {otherwise}."
        )


def _check_classes(root: Path, seen: Collection[str], classes: Collection[str] | None) -> None:
    missing = [name for name in classes or () if name not in seen]
    if missing:
        raise DatasetError(
            f"data.classes names {shortened(missing)}, but data.root={root} has no such folder; it has "
            f"{shortened(list(inner_folders(root)), MOST_SHOWN) or 'none'}."
        )


def _problem(stray: int, empty: Sequence[str], classes: Collection[str], *, is_empty: bool) -> str | None:
    if not classes:
        none = "is empty: it holds no images" if is_empty else "holds no images"
        what = f"holds {stray} images but no class folders" if stray else none
        table = ", or a table of their classes: data.labels=FILE.csv" if stray else ""
        return f"{what}; expected a folder per class with its images in it{table}."
    if empty:
        return f"has no images in class folder {shortened(empty, MOST_SHOWN)}; put some there or remove it."
    if len(classes) < 2:
        return f"has one class only, {next(iter(classes))}; a classifier needs two or more class folders."
    return None


def inside(root: Path) -> str:
    """Return what to type for the datasets in folders below a root that is none itself; an empty text without any."""
    found: list[tuple[Path, str]] = []
    for folder in _below(root):
        if found and len(folder.parts) > len(found[0][0].parts):
            break
        inner, typed = inner_folders(folder), override("data.root", str(folder))
        ready = {split for name in inner if inner[name] and (split := split_of(name))}
        with_images = [name for name in inner if _has_images(folder / name)]
        if "train" in ready and len(ready) > 1:
            found.append((folder, f"ready folders ({', '.join(inner)}): type {typed} data.split=folders"))
        elif len(with_images) > 1:
            found.append((folder, f"a folder per class ({shortened(with_images, MOST_SHOWN)}): type {typed}"))
    return " ".join(f"{folder} has {what}." for folder, what in found[:DEEPEST])


def _below(root: Path) -> Iterator[Path]:
    """Yield the visible folders below a root, those nearest to it first."""
    level = [root]
    for _ in range(DEEPEST):
        level = [folder / name for folder in level for name in visible(list_folder(folder)[0], Counter())]
        yield from level


def tables(root: Path) -> str:
    """Return what to type where tables beside the images may hold their classes; an empty text without any."""
    names = [name for name in sorted(list_folder(root)[1]) if name.lower().endswith((".csv", ".tsv"))]
    return f"If {names[0]} holds the classes, type {override('data.labels', str(root / names[0]))}." if names else ""
