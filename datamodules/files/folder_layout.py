"""What the folders under a root are: classes, or ready splits with a folder per class in each."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.files.image_files import inner_folders, list_folder, visible, visible_images
from datamodules.files.other_files import remedy
from datamodules.splits.listed import has_targets
from datamodules.splits.sample_table import SPLITS, split_of
from settings.base import as_typed, is_csv, override, quoted
from settings.data import DataSettings, Fractions

DEEPEST = 3  # folders below the root in which a usable dataset is looked for
MOST_SHOWN = 6  # folders in a sentence
MOST_TYPED = 20  # in a line to type

Image = tuple[str, str, str | None]  # name, class, and its folder's split


def folders_below(root: Path, depth: int, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """Yield the visible folders below a root, those nearest to it first; those called as one of `leave_out` apart."""
    level = [root]
    for _ in range(depth):
        inner = ((folder, visible(list_folder(folder)[0], Counter())) for folder in level)
        level = [folder / name for folder, names in inner for name in names if name not in leave_out]
        yield from level


def split_folders(settings: DataSettings, root: Path) -> dict[str, str]:
    """Return the split of each ready folder. Raises DatasetError where folders and `data.split` do not fit."""
    labelled = settings.labels is not None
    if labelled and settings.split != "folders":
        return {}
    folders = sorted(list_folder(root)[0])
    if named := settings.folders.splits():
        if missing := [name for name in named if name not in folders]:
            raise DatasetError(
                f"data.folders names {shortened(missing)}, but data.root={root} has no such folder; it has "
                f"{shortened(folders) or 'none'}."
            )
        return named
    if settings.classes is not None and settings.split != "folders" and set(settings.classes) <= set(folders):
        return {}
    ready = ready_folders(root, classes_within=not labelled)
    if settings.split == "folders" and not ready:
        question = None if labelled else ambiguity(root)
        otherwise = (
            f"It has the folders {shortened(folders) or 'none'}. Leave data.split out to split by fractions, or type "
            "which folders are meant: 'data.folders={train:FOLDER,test:FOLDER}'."
        )
        raise DatasetError(
            f"data.split=folders: data.root={root} has no train and val or test folders with class folders beneath. "
            f"{question or inside(root) or otherwise}"
        )
    if ready and isinstance(settings.split, Fractions) and settings.folds is None:
        raise DatasetError(
            f"data.root={root} holds ready folders ({', '.join(ready)}); add data.split=folders to use them, or give one of them "
            f"as data.root to split it by {as_typed(settings.split)}. If they are classes, type "
            f"'data.classes={as_typed(list(inner_folders(root)))}'."
        )
    own = is_csv(settings.split) and has_targets(Path(str(settings.split)))  # it has the classes, whatever folders are
    if not ready and not own and (why := ambiguity(root)):
        raise DatasetError(why)
    return ready


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
    folders = {split: [name for name, own in split_of_folder.items() if own == split] for split in SPLITS}
    plain = {split: names[0] if len(names) == 1 else names for split, names in folders.items() if names}
    return f"data.split=folders 'data.folders={as_typed(plain)}'"


def ambiguity(root: Path) -> str | None:
    """Return why folders that are no ready splits may not be classes either, and both answers; None without ambiguity."""
    inner = inner_folders(root)
    named = {name: split for name in inner if (split := split_of(name))}
    both = len(set(named.values())) > 1
    whole = [name for name in inner if name not in named and {"train"} < {*map(split_of, inner[name])} - {None}]
    alike = _are_alike(root, inner)
    if len(inner) < 2 or not (named or whole or alike):
        return None
    typed = shortened([quoted(name) for name in inner], MOST_TYPED, ",")
    classes = f"if they are classes, type 'data.classes=[{typed}]'"
    within = next((name for name in named if len(inner[name]) > 1 and not _has_images(root / name)), None)
    if whole:
        meant = f"If it is the dataset, type {override('data.root', str(root / whole[0]))} data.split=folders"
        meant = meant if len(whole) == 1 else "Images with masks are read with data=mask_folder, idd or idd_lite"
        return (
            f"data.root={root}: {shortened(whole, MOST_SHOWN)} {'holds' if len(whole) == 1 else 'hold'} folders called like splits "
            f"({shortened(inner[whole[0]], MOST_SHOWN)}). {meant}; {classes}."
        )
    if alike:
        same = shortened(max(inner.values(), key=len), MOST_SHOWN)
        return (
            f"data.root={root}: all its folders ({shortened(list(inner), MOST_SHOWN)}) hold the same folders ({same}). If they are "
            f"splits, type which, such as {typed_folders(_example(inner, named))}; {classes}."
        )
    if within and (both or named[within] == "train"):
        others = [name for name in named if name != within]
        then = f", and predict the others with predict.py {override('source', str(root / others[0]))}" if others else ""
        unlike = f", but {shortened(others)} none, so that their images have no class"
        without = unlike if others else " and no images itself"
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


def check_shared(root: Path, ready: Mapping[str, str], images: Sequence[Image]) -> None:
    """Raise DatasetError where the folders of a split are no classes: none of them is in train."""
    classes: dict[str, set[str]] = {}
    for name, target, _ in images:
        classes.setdefault(name.split("/")[0], set()).add(target)
    learnt = {target for folder, split in ready.items() if split == "train" for target in classes.get(folder, ())}
    strange = {folder: names for folder, names in classes.items() if not names & learnt}
    kept = {folder: split for folder, split in ready.items() if folder not in strange}
    if strange:
        folder, names = next(iter(strange.items()))
        otherwise = f"split train alone with {override('data.root', str(root / next(iter(kept))))}"
        otherwise = f"leave it out with {typed_folders(kept)}" if len(set(kept.values())) > 1 else otherwise
        raise DatasetError(
            f"data.root={root}: {folder} holds the folders {shortened(sorted(names), MOST_SHOWN)}, of which train has none, so that they "
            f"are no classes. Sort its images into folders of train's classes, or {otherwise}."
        )


def refusal(
    root: Path,
    seen: Collection[str],
    classes: Collection[str],
    stray: int,
    empty: Sequence[str],
    left_out: Counter[str],
) -> DatasetError:
    """Return why the folders below a root are no classes, and what would do.

    `seen` are the class folders in it, `empty` those without images, `classes` those that were named; `stray` images lie
    outside of them, and `left_out` counts other files by kind.
    """
    if missing := [name for name in classes if name not in seen]:
        return DatasetError(
            f"data.classes names {shortened(missing)}, but data.root={root} has no such folder; it has "
            f"{shortened(list(inner_folders(root)), MOST_SHOWN) or 'none'}."
        )
    if not seen:
        none = "holds no images" if any(list_folder(root)) else "is empty: it holds no images"
        what = f"holds {stray} images but no class folders" if stray else none
        table = ", or a table of their classes: data.labels=FILE.csv" if stray else ""
        problem = f"{what}; expected a folder per class with its images in it{table}."
    elif empty:
        problem = f"has no images in class folder {shortened(empty, MOST_SHOWN)}; put some there or remove it."
    else:
        problem = f"has one class only, {next(iter(seen))}; a classifier needs two or more class folders."
    advice = (f"data.root={root} {problem}", remedy(left_out), inside(root), tables(root))
    return DatasetError(" ".join(filter(None, advice)))


def inside(root: Path) -> str:
    """Return what to type for the datasets in folders below a root that is none itself; an empty text without any."""
    found: list[tuple[Path, str]] = []
    for folder in folders_below(root, DEEPEST):
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


def tables(root: Path) -> str:
    """Return what to type where tables beside the images may hold their classes; an empty text without any."""
    names = [name for name in sorted(list_folder(root)[1]) if name.lower().endswith((".csv", ".tsv"))]
    return f"If {names[0]} holds the classes, type {override('data.labels', str(root / names[0]))}." if names else ""
