"""Exploring data: what is in a dataset and what is wrong with it, before anything is trained."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datamodules.base import ImageDataModule
from datamodules.description import UNSPLIT, describe, shown
from datamodules.errors import DatasetError
from datamodules.files.image_cache import Image
from datamodules.files.image_files import find_images
from datamodules.files.images import read_image, resize, resize_mask
from datamodules.files.near_duplicates import near_duplicates
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import Sample, split_of
from datamodules.statistics import Statistics, measure, turned_over
from entry.builders.modules import build_datamodule
from entry.comparable import run_folders
from entry.console import console
from entry.errors import RequestError
from entry.label_errors import label_error_candidates
from entry.request import Request
from label_spaces.space import LabelSpace
from reports.findings import findings
from reports.html.exploration import PAGE, Pictures, page
from reports.html.pictures import Picture, legend, masked, thumbnail
from run_folder import RunFolderError, free_name, is_run, now, write_json, write_text
from settings.run import RunSettings
from streams import printable

SCHEMA = 1
EPOCHS, DRAWS = 6, 60  # of one sample that are shown, and in which it is looked for images upside down
IMAGES = ("leftImg8bit", "images")  # where images without truth are, if there is such a folder; the first has drives
MOST_PICTURES = 24  # of a finding, and of label errors
MOST_COMPARED = 20_000  # images of which all pairs are compared
MOST_CANDIDATES = 500  # for label errors
MARGIN, MARKED = 0.5, (255, 255, 0)  # around a region that is shown, as a part of its sides, and the colour of its box


@dataclass(frozen=True)
class Data:
    """A dataset as it is explored.

    Args:
        module: whose samples are found, unless there is an `obstacle`.
        samples: all of its images; the target of those without truth is "".
        obstacle: why no sample could be found, so that the images alone are explored; None where they were.
    """

    module: ImageDataModule
    samples: Sequence[Sample]
    obstacle: str | None

    @cached_property
    def by_name(self) -> dict[str, Sample]:
        """The samples by their names."""
        return {sample.name: sample for sample in self.samples}

    @property
    def space(self) -> LabelSpace:
        """The classes; none where only images are explored."""
        return LabelSpace("", ()) if self.obstacle else self.module.label_space

    @property
    def has_masks(self) -> bool:
        """Whether images have masks."""
        return self.obstacle is None and isinstance(self.module, SegmentationDataModule)

    def read(self, sample: Sample) -> Image:
        """Return an image at its own size, (H, W, 3) uint8. Raises DatasetError or OSError."""
        if self.obstacle is None and sample.name in self.by_name:
            return self.module.read(sample.name)
        files = [root / sample.name for root in self.module.roots]
        return read_image(next((file for file in files if file.exists()), files[0]), self.module.settings.bit_depth)

    def mask(self, sample: Sample) -> Image:
        """Return the mask of an image at its own size, (H, W) uint8."""
        assert isinstance(self.module, SegmentationDataModule)
        return self.module.read_mask(sample.name)


def explore(request: Request, settings: RunSettings) -> Path:
    """Write explore.json and, where `report.html` wants it, explore.html; print a summary, and return their folder."""
    folder = request.folder if request.folder_was_typed else free_name(request.folder)
    if is_run(folder):
        raise RunFolderError(f"hydra.run.dir={folder} already holds a run. Choose another folder.")
    data = find(build_datamodule(settings))
    content = described(request, settings, data)
    text = None
    if settings.report.html:
        text = page(content, pictures_of(data, content) if settings.report.images else Pictures())
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "explore.json", content)
    lines = [*summary(content)]
    if text is not None:
        write_text(folder / PAGE, text)
        lines.append(f"page: {folder / PAGE}")
    for line in lines:
        console().print(printable(line))
    return folder.absolute()


def find(module: ImageDataModule) -> Data:
    """Find the samples of a data module, or where that is not possible its images. Raises DatasetError where there are none."""
    try:
        module.find_samples()
    except DatasetError as error:
        samples = [_without_truth(name) for root in module.roots for name in _images_below(root)]
        if not samples:
            raise
        return Data(module, samples, str(error))
    alone = module.without_truth if isinstance(module, SegmentationDataModule) else []
    further = [Sample(pair.name, pair.group, "", pair.split or UNSPLIT) for pair in alone]
    return Data(module, [*module.table.samples, *further], None)


def _without_truth(name: str) -> Sample:
    parts = Path(name).parts
    split = next((found for part in parts if (found := split_of(part))), UNSPLIT)
    return Sample(name, parts[2] if parts[0] == IMAGES[0] and len(parts) > 3 else name, "", split)


def _images_below(root: Path) -> list[str]:
    folder = next((name for name in IMAGES if (root / name).is_dir()), ".")
    return [(Path(folder) / name).as_posix() for name in find_images(root / folder)]


def measured(data: Data) -> Statistics:
    """Measure all images and masks. Raises DatasetError where no image can be read."""
    module, classes = data.module, data.space.classes
    found = measure(data.read, data.mask if data.has_masks else None, data.samples, classes)
    if not data.has_masks and data.obstacle is None:
        boxes = module.extents(range(len(module.table))).get("object", np.empty((0, 2)))
        targets = [classes.index(sample.target) for sample in module.table.samples[: len(boxes)]]
        return replace(found, objects=np.column_stack([targets, boxes.prod(axis=1)]).astype(np.int64).reshape(-1, 2))
    return found


def described(request: Request, settings: RunSettings, data: Data) -> dict[str, Any]:
    """Return the content of explore.json."""
    errors = _label_errors(settings, data)  # first: what cannot judge the labels is refused before everything is read
    found, module, task = measured(data), data.module, settings.model.task
    content = {
        "schema": SCHEMA,
        "date": now(),
        "command": shlex.join(["python", "explore.py", *request.overrides]),
        "data": {
            "name": settings.data.name,
            "roots": [str(root) for root in module.sources],
            "task": task,
            "other_task": next((each for each in settings.data.targets if each != task), None),
            "label_space": data.space.name or None,
            "unit": found.unit,
        },
        "obstacle": data.obstacle,
        **describe(found, module.train_size),
        "near": _near(found),
        "shown": shown(found),
        "notes": module.notes,
        "skipped": [{"sample": name, "reason": why} for name, why in (*module.skipped, *found.unreadable)],
        "label_errors": errors,
    }
    content["augmentation"] = _augmentation(module, settings.aug.name, content["shown"])
    return {**content, "findings": findings(content)}


def _near(found: Statistics) -> list[dict[str, Any]] | None:
    """Return the pairs of images in different splits that are nearly but not quite equal; None where there are too many images."""
    if len(found.samples) > MOST_COMPARED:
        return None
    digests = {sample.name: digest for sample, digest in zip(found.samples, found.digests, strict=True)}
    pairs = near_duplicates([*found.pictures], found.samples)
    return [asdict(each) for each in pairs if digests[each.first] != digests[each.second]]


def _label_errors(settings: RunSettings, data: Data) -> dict[str, Any] | None:
    """Return the candidates for label errors, where `predictions=` or `runs=` judge the labels."""
    paths = (
        run_folders(settings.runs) if settings.runs else [Path(settings.predictions)] if settings.predictions else []
    )
    if not paths:
        return None
    if data.obstacle:
        raise RequestError(f"There are no labels that predictions could judge: {data.obstacle}")
    found = label_error_candidates(data.module, paths)
    candidates = [each._asdict() for each in found.candidates[:MOST_CANDIDATES]]
    return {"judged": found.judged, "left_out": found.left_out, "count": len(found.candidates), "candidates": candidates}  # fmt: skip


def _augmentation(module: ImageDataModule, name: str, shown: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Return which sample shows the augmentation, and in how many epochs it is turned upside down; None without augmentation."""
    augment = module.augmentation
    if augment is None:
        return None
    sample = next(
        (each["sample"] for each in reversed(shown) if each["split"] == "train"), shown[0]["sample"]
    )  # the last ones are not chosen for a class
    turned = turned_over(lambda image, epoch: augment(image, name=sample, epoch=epoch)[0], module.train_size, DRAWS)
    return {"name": name, "sample": sample, "epochs": EPOCHS, "upside_down": turned, "draws": DRAWS}


def pictures_of(data: Data, content: Mapping[str, Any]) -> Pictures:
    """Return the pictures of a page."""
    brightness, errors, used = content["brightness"], content["label_errors"], content["augmentation"]
    small = [each["sample"] for name in ("darkest", "brightest") for each in brightness[name]]
    small += [name for each in content["findings"] for name in each["samples"][:MOST_PICTURES]]
    return Pictures(
        samples={each["sample"]: _framed(data, data.by_name[each["sample"]]) for each in content["shown"]},
        thumbnails={name: picture for name in dict.fromkeys(small) for picture in _thumbnail(data, name)},
        augmented=[] if used is None else [*_augmented(data, data.by_name[used["sample"]])],
        errors=[_candidate(data, each) for each in errors["candidates"][:MOST_PICTURES]] if errors else [],
        legend=legend(data.space) if data.has_masks else [],
    )


def _framed(data: Data, sample: Sample) -> list[Picture]:
    """Return the picture of an image, and beside it that of its mask where it has one."""
    image = data.read(sample)
    return masked(image, data.mask(sample), data.space) if data.has_masks and sample.target else thumbnail(image)


def _thumbnail(data: Data, name: str) -> list[Picture]:
    """Return a small picture of an image, nothing where it cannot be read."""
    try:
        return thumbnail(data.read(data.by_name.get(name, Sample(name, name, "", UNSPLIT))))
    except (DatasetError, OSError):
        return []


def _augmented(data: Data, sample: Sample) -> Iterator[list[Picture]]:
    """Yield a sample as it is trained on: without augmentation, then in each epoch."""
    size, augment = data.module.train_size, data.module.augmentation
    image, mask = resize(data.read(sample), size), None
    if data.has_masks and sample.target:
        mask = resize_mask(data.mask(sample), size)
    for epoch in (None, *range(EPOCHS)):
        seen, truth = image, mask
        if epoch is not None and augment is not None:
            seen, truth = augment(image, name=sample.name, epoch=epoch, mask=mask)
        yield thumbnail(seen) if truth is None else masked(seen, truth, data.space)


def _candidate(data: Data, error: Mapping[str, Any]) -> list[Picture]:
    """Return the picture of a candidate for a label error: an image, or the part of a frame and of its mask around a region."""
    sample, box = data.by_name[error["sample"]], error["box"]
    image = data.read(sample)
    if box is None:
        return thumbnail(image)
    left, top, width, height = box
    across, down = round(MARGIN * width) + 20, round(MARGIN * height) + 20
    cv2.rectangle(image, (left - 2, top - 2), (left + width + 1, top + height + 1), MARKED, 2)
    part = np.s_[max(0, top - down) : top + height + down, max(0, left - across) : left + width + across]
    return masked(image[part], data.mask(sample)[part], data.space)


def summary(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that the command prints: what is in the data, and what is wrong with it."""
    groups = " in {groups:,} drives" if content["has_groups"] else ""
    parts = [f"{each['name']} {each['images']:,}{groups.format(**each)}" for each in content["splits"]]
    classes = f"; {len(content['classes'])} classes" if content["classes"] else ""
    images = sum(each["images"] for each in content["splits"])
    yield f"{content['data']['name']}: {images:,} images ({', '.join(parts)}){classes}"
    yield from (f"{each['kind'].replace('_', ' ')}: {each['text']}" for each in content["findings"])
    if not content["findings"]:
        yield "Nothing wrong was found."
