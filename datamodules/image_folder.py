"""Images in a folder per class, or in ready train, val and test folders with a folder per class beneath."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from datamodules.classification import ClassificationDataModule
from datamodules.errors import DatasetError
from datamodules.files.audit import audit
from datamodules.files.images import find_images, list_folder, visible, visible_images
from datamodules.splits.sample_table import Candidate
from settings.base import as_typed, is_csv

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class ImageFolderDataModule(ClassificationDataModule):
    """Classifies the images of ``<root>/<class>/**/<image>`` or ``<root>/<train|val|test>/<class>/**/<image>``.

    ``data.split=folders`` uses ready folders (``valid`` and ``validation`` are val). Where there are such and
    fractions are requested, that is an error, as either may be meant. There are no groups, each sample is its own.
    """

    def find(self) -> list[Candidate]:
        """Return every image that can be decoded. Raises DatasetError; `notes` and `skipped` list what is left out."""
        images, ignored = scan(self.root, self._ready_folders())
        kinds = [f"{kind} ({count})" for kind, count in sorted(ignored.items()) if count]
        self.notes += [f"Ignored under the root: {', '.join(kinds)}."] if kinds else []
        findings = audit(self.root, [name for name, *_ in images], Path(self.settings.cache_dir))
        broken = {name: finding.error for name, finding in findings.items() if finding.error is not None}
        usable = [image for image in images if image[0] not in broken]
        self.leave_out(list(broken.items()), len(findings), "images")
        lost = {target for _, target, _ in images} - {target for _, target, _ in usable}
        if lost:
            raise DatasetError(
                f"no image of class {', '.join(sorted(lost))} under data.root={self.settings.root} can be read; "
                "mend its files or remove the folder."
            )
        self.sizes = {name: (findings[name].height, findings[name].width) for name, *_ in usable}
        return [Candidate(name, name, target, split, findings[name].content) for name, target, split in usable]

    def _ready_folders(self) -> dict[str, str]:
        """Return the root's ready folders. Raises DatasetError where they and `data.split` do not fit."""
        settings = self.settings
        if settings.split_by == "group":
            raise DatasetError("data.split_by=group: a folder of images has no groups; use data.split_by=sample.")
        ready = ready_folders(self.root)
        if settings.split == "folders" and not ready:
            raise DatasetError(
                f"data.split=folders: data.root={settings.root} has no train and val or test folders with class folders "
                "beneath; leave data.split out to split by fractions."
            )
        if ready and settings.split != "folders" and not is_csv(settings.split):
            raise DatasetError(
                f"data.root={settings.root} holds ready folders ({', '.join(ready.values())}); "
                f"add data.split=folders to use them, or give one of them as data.root to split it by {as_typed(settings.split)}."
            )
        return ready


def scan(root: Path, ready: Mapping[str, str]) -> tuple[list[tuple[str, str, str | None]], Counter[str]]:
    """Find the images of each class below `root` or the `ready` folders of the splits, without opening them.

    Returns (name, class, split or None) of each image, and by kind how many other files and folders there are. Raises
    DatasetError where there are no images or no class folders, a class folder has no image, or there is one class only.
    """
    found: list[tuple[str, str, str | None]] = []
    ignored: Counter[str] = Counter()
    stray, empty = 0, []
    classes: set[str] = set()
    if ready:
        folders, files = list_folder(root)
        stray += len(visible_images(files, ignored))
        others = set(visible(folders, ignored)) - set(ready.values())
        ignored["folders beside " + ", ".join(ready.values())] += len(others)
    for split, place in ready.items() or [(None, ".")]:
        folders, files = list_folder(root / place)
        stray += len(visible_images(files, ignored))
        for target in visible(folders, ignored):
            folder = (Path(place) / target).as_posix()
            images = find_images(root / folder, ignored)
            found += [(f"{folder}/{name}", target, split) for name in images]
            classes.add(target)
            if not images:
                empty.append(folder)
    if not classes:
        what = f"holds {stray} images but no class folders" if stray else "holds no images"
        raise DatasetError(f"data.root={root} {what}; expected a folder per class with its images in it.")
    if empty:
        raise DatasetError(
            f"data.root={root}: no images in class folder {', '.join(empty)}; put some there or remove it."
        )
    if len(classes) < 2:
        raise DatasetError(
            f"data.root={root} has one class only, {classes.pop()}; a classifier needs two or more class folders."
        )
    ignored["images outside class folders"] += stray
    return found, ignored


def ready_folders(root: Path) -> dict[str, str]:
    """Return the folders of train and val or test; empty without. Raises DatasetError where two are for one split."""
    ready: dict[str, str] = {}
    for name in sorted(list_folder(root)[0]):
        split = SPLIT_FOLDERS.get(name.lower())
        if split is None or not list_folder(root / name)[0]:
            continue
        if split in ready:
            raise DatasetError(f"data.root={root} holds both {ready[split]} and {name}; keep one folder for {split}.")
        ready[split] = name
    return ready if "train" in ready and len(ready) > 1 else {}
