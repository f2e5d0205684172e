"""Images in a folder per class, in ready train, val and test folders with a folder per class in each, or with a table of classes."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from datamodules.classification import ClassificationDataModule
from datamodules.errors import DatasetError, shortened
from datamodules.files.folder_layout import Image, ambiguity, inner_folders, inside, ready_folders, scan
from datamodules.files.image_files import find_images, list_folder
from datamodules.files.other_files import remedy
from datamodules.splits.labels import Labels, read_labels
from datamodules.splits.listed import has_targets
from datamodules.splits.sample_table import Candidate
from settings.base import as_typed, is_csv
from settings.data import Fractions

MOST_NAMED = 10  # rows or images of each kind that a message names


class ImageFolderDataModule(ClassificationDataModule):
    """Classifies the images of ``<root>/<class>/**/<image>`` or ``<root>/<split>/<class>/**/<image>``.

    ``data.split=folders`` uses ready folders that are named after train, val or test, or that `settings.folders` names;
    fractions are then an error, as either may be meant. With `settings.labels`, a CSV, any folder of images will do. Of
    `settings.classes`, where they are set, no others are used, and their order is theirs.
    """

    def find(self) -> list[Candidate]:
        """Return every image that can be decoded. Raises DatasetError; `notes` and `skipped` list what is left out."""
        groups: dict[str, str] = {}
        if self.settings.labels is None:
            images, ignored = scan(self.root, self._ready_folders(), self._classes)
        else:
            images, ignored, groups = self._labelled()
        kinds = [f"{kind} ({count})" for kind, count in sorted(ignored.items()) if count]
        self.notes += [f"Ignored under the root: {', '.join(kinds)}."] if kinds else []
        if self.settings.split_by == "group" and not groups:
            raise DatasetError(
                "data.split_by=group: a folder of images has no groups; use data.split_by=sample, or data.labels with a column group."
            )
        found = [Candidate(name, groups.get(name, name), target, split) for name, target, split in images]
        usable = self.checked(found)
        lost = {target for _, target, _ in images} - {each.target for each in usable}
        if lost:
            raise DatasetError(
                f"no image of class {', '.join(sorted(lost))} under data.root={self.settings.root} can be read; "
                "mend its files or remove the folder."
            )
        return usable

    def class_order(self, targets: set[str]) -> tuple[str, ...]:
        """Return the classes that occur: sorted, or in the order of `settings.classes`."""
        known = [name for name in self._classes or () if name in targets]
        return (*known, *sorted(targets - set(known)))

    @property
    def _classes(self) -> Collection[str] | None:
        return self.settings.classes

    def _ready_folders(self) -> dict[str, str]:
        """Return the split of each ready folder. Raises DatasetError where folders and `data.split` do not fit."""
        settings, root, labelled = self.settings, self.root, self.settings.labels is not None
        if labelled and settings.split != "folders":
            return {}
        if named := settings.folders.splits():
            return self._named_folders(named)
        folders = list_folder(root)[0]
        if settings.classes is not None and settings.split != "folders" and set(settings.classes) <= set(folders):
            return {}
        ready = ready_folders(root, classes_within=not labelled)
        if settings.split == "folders" and not ready:
            question = None if labelled else ambiguity(root)
            otherwise = (
                f"It has the folders {shortened(sorted(folders)) or 'none'}. Leave data.split out to split by fractions, or type "
                "which folders are meant: 'data.folders={train:FOLDER,test:FOLDER}'."
            )
            raise DatasetError(
                f"data.split=folders: data.root={root} has no train and val or test folders with class folders beneath. "
                f"{question or inside(root) or otherwise}"
            )
        if ready and isinstance(settings.split, Fractions):
            raise DatasetError(
                f"data.root={root} holds ready folders ({', '.join(ready)}); add data.split=folders to use them, or give one of them "
                f"as data.root to split it by {as_typed(settings.split)}. If they are classes, type "
                f"'data.classes={as_typed(list(inner_folders(root)))}'."
            )
        own = is_csv(settings.split) and has_targets(
            Path(settings.split)
        )  # it has the classes, whatever the folders are
        if not ready and not own and (why := ambiguity(root)):
            raise DatasetError(why)
        return ready

    def _named_folders(self, named: dict[str, str]) -> dict[str, str]:
        folders = list_folder(self.root)[0]
        missing = [name for name in named if name not in folders]
        if missing:
            raise DatasetError(
                f"data.folders names {shortened(missing)}, but data.root={self.root} has no such folder; it has "
                f"{shortened(sorted(folders)) or 'none'}."
            )
        return named

    # A table of classes

    def _labelled(self) -> tuple[list[Image], Counter[str], dict[str, str]]:
        """Return the images with the classes of the table, what is left out, and their groups. Raises DatasetError."""
        ignored: Counter[str] = Counter()
        names = find_images(self.root, ignored)
        if not names:
            raise DatasetError(f"data.root={self.root} holds no images. {remedy(ignored)}".strip())
        own = is_csv(self.settings.split) and has_targets(Path(self.settings.split))  # as it was when the run was made
        path = Path(str(self.settings.split)) if own else self._table()
        columns = ["sample", "target"] if own else self.settings.label_columns
        labels = read_labels(path, names, self.root, columns)
        self._check_labels(labels, path)
        ready = self._ready_folders()
        images: list[Image] = []
        for name, target in labels.targets.items():
            split = ready.get(name.split("/")[0]) if "/" in name else None
            if self._classes is not None and target not in self._classes:
                ignored["images of classes that are not in data.classes"] += 1
            elif ready and split is None:
                ignored["images outside " + ", ".join(ready)] += 1
            else:
                images.append((name, target, split))
        known = {target for _, target, _ in images}
        if missing := [name for name in self._classes or () if name not in known]:
            raise DatasetError(f"data.classes names {shortened(missing)}, of which {path} has no image.")
        return images, ignored, labels.groups

    def _table(self) -> Path:
        """Return the table of classes: as typed, or relative to the root where it is there alone."""
        typed = Path(str(self.settings.labels))
        within = self.root / (typed.relative_to(Path.cwd()) if typed.is_relative_to(Path.cwd()) else typed)
        if typed.exists() or not within.exists():
            return typed
        self.notes.append(f"data.labels: there is no {typed}, but {within}, which is read.")
        return within

    def _check_labels(self, labels: Labels, path: Path) -> None:
        """Note what is left out. Raises DatasetError naming all that is wrong, unless it is to be skipped."""
        unlabelled, problems = labels.unlabelled, {kind: rows for kind, rows in labels.problems.items() if rows}
        if problems and self.settings.on_corrupt == "fail":
            kinds = problems | ({"images have no row": unlabelled} if unlabelled else {})
            lines = [f"\n  {len(rows)} {kind}: {shortened(rows, MOST_NAMED)}" for kind, rows in kinds.items()]
            raise DatasetError(
                f"data.labels={path} and the images under data.root={self.root} do not fit; mend the table, or leave these out with "
                f"data.on_corrupt=skip:{''.join(lines)}"
            )
        self.notes += labels.notes
        self.skipped += [(row, kind) for kind, rows in problems.items() for row in rows]
        self.notes += [f"Left out: {len(rows)} {kind}, such as {rows[0]}." for kind, rows in problems.items()]
        if unlabelled:
            self.notes.append(
                f"Images without a row in {path}: {len(unlabelled)}, such as {unlabelled[0]}; they are left out."
            )
