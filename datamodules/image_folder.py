"""Images in a folder per class, in ready train, val and test folders with a folder per class in each, or with a table of classes."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from datamodules.classification import ClassificationDataModule
from datamodules.errors import DatasetError
from datamodules.files.folder_layout import Image, check_shared, refusal, split_folders
from datamodules.files.image_files import RUNS, find_images, inner_folders, list_folder, visible, visible_images
from datamodules.labelled_images import labelled_images
from datamodules.splits.sample_table import Candidate, split_of
from settings.data import Fractions


class ImageFolderDataModule(ClassificationDataModule):
    """Classifies the images of ``<root>/<class>/**/<image>`` or ``<root>/<split>/<class>/**/<image>``.

    ``data.split=folders`` uses ready folders that are named after train, val or test, or that `settings.folders` names;
    fractions are then an error, as either may be meant. With `settings.labels`, a CSV, any folder of images will do. Of
    `settings.classes`, where they are set, no others are used, and their order is theirs.
    """

    def find(self) -> list[Candidate]:
        """Return every image that can be decoded. Raises DatasetError; `notes` and `skipped` list what is left out."""
        settings, groups = self.settings, dict[str, str]()
        if settings.labels is not None:
            images, ignored, groups = labelled_images(self, self.root)
        else:
            inner = inner_folders(self.root)
            plain = isinstance(settings.split, Fractions) and not any(map(split_of, inner)) and not any(inner.values())
            images, ignored = scan(self.root, {} if plain else split_folders(settings, self.root), settings.classes)
        kinds = [f"{kind} ({count})" for kind, count in sorted(ignored.items()) if count]
        self.notes += [f"Ignored under the root: {', '.join(kinds)}."] if kinds else []
        if settings.split_by == "group" and not groups:
            raise DatasetError(
                "data.split_by=group: a folder of images has no groups; use data.split_by=sample, or data.labels with a column group."
            )
        found = [Candidate(name, groups.get(name, name), target, split) for name, target, split in images]
        usable = self.checked(found)
        if lost := {target for _, target, _ in images} - {each.target for each in usable}:
            raise DatasetError(
                f"no image of class {', '.join(sorted(lost))} under data.root={settings.root} can be read; "
                "mend its files or remove the folder."
            )
        return usable

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """Return the classes that occur: sorted, or in the order of `settings.classes`."""
        known = [name for name in self.settings.classes or () if name in targets]
        return (*known, *sorted(targets - set(known)))


def scan(root: Path, ready: dict[str, str], classes: Collection[str] | None = None) -> tuple[list[Image], Counter[str]]:
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
            others: Counter[str] = Counter()
            images = find_images(root / folder, others)
            ignored.update(others)
            if others[RUNS] and not images:  # such as runs/, beside the classes
                continue
            found += [(f"{folder}/{name}", target, split) for name in images]
            seen.add(target)
            empty += [] if images else [folder]
    if empty or len(seen) < 2 or not seen.issuperset(classes or ()):
        raise refusal(root, seen, classes or (), stray, empty, ignored)
    if ready:
        check_shared(root, ready, found)
    ignored["images outside class folders"] += stray
    return found, ignored
