"""Exploring data: what is in a dataset and what is wrong with it, before anything is trained."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import ImageDataModule
from datamodules.errors import DatasetError
from datamodules.files.image_cache import Image
from datamodules.files.image_files import find_images
from datamodules.files.images import read_image, resize, resize_mask
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import Sample, split_of
from datamodules.statistics import Statistics, measure, turned_over
from entry.builders.modules import build_datamodule
from entry.console import console
from entry.errors import RequestError
from entry.request import Request
from label_spaces.space import LabelSpace
from reports.exploration import Explored, describe, shown
from reports.findings import findings
from reports.html.exploration import PAGE, Pictures, page
from reports.html.pictures import Picture, legend, masked, thumbnail
from run_folder import free_name, now, write_json, write_text
from settings.run import RunSettings
from streams import printable

SCHEMA = 1
EPOCHS, DRAWS = 6, 60  # of one sample that are shown, and in which it is looked for images upside down
IMAGES = ("leftImg8bit", "images")  # where images without truth are, if there is such a folder
MOST_PICTURES = 24  # of a finding


@dataclass(frozen=True)
class Data:
    """A dataset as it is explored.

    Args:
        module: whose samples are found, unless there is an `obstacle`.
        samples: all of its images, also those without truth; the class of these is "".
        obstacle: why no sample could be found, so that the images alone are explored; None where they were.
    """

    module: ImageDataModule
    samples: Sequence[Sample]
    obstacle: str | None

    @property
    def space(self) -> LabelSpace:
        """The classes; none where only images are explored."""
        return LabelSpace("", ()) if self.obstacle else self.module.label_space

    def read(self, sample: Sample) -> Image:
        """Return an image at its own size, (H, W, 3) uint8. Raises DatasetError or OSError."""
        if self.obstacle is None:
            return self.module.read(sample.name)
        file = next(path for root in self.module.roots if (path := root / sample.name).exists())
        return read_image(file, self.module.settings.bit_depth)

    @property
    def has_masks(self) -> bool:
        """Whether images have masks."""
        return self.obstacle is None and isinstance(self.module, SegmentationDataModule)

    def mask(self, sample: Sample) -> Image:
        """Return the mask of an image at its own size, (H, W) uint8; of one without truth (0, 0)."""
        assert isinstance(self.module, SegmentationDataModule)
        return self.module.read_mask(sample.name) if sample.target else np.empty((0, 0), np.uint8)


def explore(request: Request, settings: RunSettings) -> Path:
    """Write explore.json and, where `report.html` wants it, explore.html; print a summary, and return their folder."""
    data = find(build_datamodule(settings))
    content = described(request, settings, data)
    folder = request.folder if request.folder_was_typed else free_name(request.folder)
    if (folder / "config.yaml").exists():
        raise RequestError(f"hydra.run.dir={folder} already holds a run. Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "explore.json", content)
    if settings.report.html:
        pictures = pictures_of(data, content) if settings.report.images else Pictures()
        write_text(folder / PAGE, page(content, pictures))
    screen = console()
    for line in summary(content):
        screen.print(printable(line))
    if settings.report.html:
        screen.print(f"page: {folder / PAGE}")
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
    further = [Sample(pair.name, pair.group, "", pair.split or "") for pair in alone]
    return Data(module, [*module.table.samples, *further], None)


def _without_truth(name: str) -> Sample:
    split = next((found for part in Path(name).parts if (found := split_of(part))), "")
    return Sample(name, name, "", split)


def _images_below(root: Path) -> list[str]:
    folder = next((name for name in IMAGES if (root / name).is_dir()), ".")
    return [(Path(folder) / name).as_posix() for name in find_images(root / folder)]


def measured(data: Data) -> tuple[Explored, Statistics]:
    """Measure all images and masks. Raises DatasetError where no image can be read."""
    module, space = data.module, data.space
    facts = measure(data.read, data.mask if data.has_masks else None, data.samples, space.num_classes)
    if not len(facts.rows):
        raise DatasetError(data.obstacle or f"none of the images can be read: {next(iter(facts.unreadable.values()))}")
    samples = [data.samples[row] for row in facts.rows]
    elements, objects = facts.pixels, facts.regions
    if not data.has_masks:
        place = {name: index for index, name in enumerate(space.classes)}
        for row, sample in enumerate(samples):
            elements[row, 0, place.get(sample.target, space.num_classes)] = int(bool(sample.target))
    if not data.has_masks and data.obstacle is None:
        boxes = module.extents(range(len(module.table))).get("object", np.empty((0, 2)))
        targets = [place[sample.target] for sample in module.table.samples][: len(boxes)]
        objects = np.column_stack([targets, boxes.prod(axis=1)]).astype(np.int64).reshape(-1, 2)
    found = Explored(
        unit="pixels" if data.has_masks else "images",
        names=[sample.name for sample in samples],
        splits=[sample.split for sample in samples],
        groups=[sample.group for sample in samples],
        truth=np.array([bool(sample.target) for sample in samples]),
        classes=space.classes,
        elements=elements,
        objects=objects,
        sizes=facts.sizes,
        trained=module.train_size,
        brightness=facts.brightness,
        contrast=facts.contrast,
        upper=facts.upper,
        digests=facts.digests,
    )
    return found, facts


def described(request: Request, settings: RunSettings, data: Data) -> dict[str, Any]:
    """Return the content of explore.json."""
    found, facts = measured(data)
    module, task = data.module, settings.model.task
    unreadable = [(data.samples[row].name, reason) for row, reason in facts.unreadable.items()]
    others = [each for each in settings.data.targets if each != task]
    content = {
        "schema": SCHEMA,
        "date": now(),
        "command": shlex.join(["python", "explore.py", *request.overrides]),
        "data": {
            "name": settings.data.name,
            "roots": [str(root) for root in module.roots],
            "task": task,
            "other_task": others[0] if others else None,
            "label_space": data.space.name or None,
            "unit": found.unit,
        },
        "obstacle": data.obstacle,
        **describe(found),
        "shown": shown(found),
        "notes": module.notes,
        "skipped": [{"sample": name, "reason": reason} for name, reason in (*module.skipped, *unreadable)],
    }
    content["augmentation"] = _augmentation(module, settings.aug.name, content["shown"])
    return {**content, "findings": findings(content)}


def _augmentation(module: ImageDataModule, name: str, shown: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Return which sample shows the augmentation, and in how many epochs it is turned upside down; None without augmentation."""
    augment = module.augmentation
    if augment is None:
        return None
    sample = next((each["sample"] for each in shown if each["split"] == "train"), shown[0]["sample"])
    turned = turned_over(lambda image, epoch: augment(image, name=sample, epoch=epoch)[0], module.train_size, DRAWS)
    return {"name": name, "sample": sample, "epochs": EPOCHS, "upside_down": turned, "draws": DRAWS}


def pictures_of(data: Data, content: Mapping[str, Any]) -> Pictures:
    """Return the pictures of a page."""
    samples = {sample.name: sample for sample in data.samples}
    used = content["augmentation"]
    return Pictures(
        samples={each["sample"]: _framed(data, samples[each["sample"]]) for each in content["shown"]},
        thumbnails=_thumbnails(data, samples, content),
        augmented=[] if used is None else [*_augmented(data, samples[used["sample"]])],
        legend=legend(data.space) if data.has_masks else [],
    )


def _framed(data: Data, sample: Sample) -> list[Picture]:
    """Return the picture of an image, and beside it that of its mask where it has one."""
    image = data.read(sample)
    return masked(image, data.mask(sample), data.space) if data.has_masks and sample.target else thumbnail(image)


def _augmented(data: Data, sample: Sample) -> Iterable[list[Picture]]:
    """Yield a sample as it is trained on, without augmentation and then in each epoch."""
    size, augment = data.module.train_size, data.module.augmentation
    image, mask = resize(data.read(sample), size), None
    if data.has_masks and sample.target:
        mask = resize_mask(data.mask(sample), size)
    for epoch in (None, *range(EPOCHS)):
        seen, truth = image, mask
        if epoch is not None and augment is not None:
            seen, truth = augment(image, name=sample.name, epoch=epoch, mask=mask)
        yield thumbnail(seen) if truth is None else masked(seen, truth, data.space)


def _thumbnails(data: Data, samples: Mapping[str, Sample], content: Mapping[str, Any]) -> dict[str, Picture]:
    """Return by name small pictures of the images in question, as far as they can be read."""
    brightness = content["brightness"]
    wanted = [each["sample"] for name in ("darkest", "brightest") for each in brightness[name]]
    wanted += [name for each in content["findings"] for name in each["samples"][:MOST_PICTURES]]
    found = {}
    for name in dict.fromkeys(wanted):
        try:
            image = data.read(samples[name]) if name in samples else read_image(data.module.file(name))
        except (DatasetError, OSError):
            continue
        found[name] = thumbnail(image)[0]
    return found


def summary(content: Mapping[str, Any]) -> Iterable[str]:
    """Yield the lines that the command prints: what is in the data, and what is wrong with it."""
    groups = " in {groups:,} drives" if content["has_groups"] else ""
    parts = [f"{each['name']} {each['images']:,}{groups.format(**each)}" for each in content["splits"]]
    classes = f"; {len(content['classes'])} classes" if content["classes"] else ""
    yield f"{content['data']['name']}: {sum(each['images'] for each in content['splits']):,} images ({', '.join(parts)}){classes}"
    yield from (f"{each['kind'].replace('_', ' ')}: {each['text']}" for each in content["findings"])
    if not content["findings"]:
        yield "nothing wrong was found"
