"""Evaluating what was not made here: external weights, or masks made by any tool."""

from datetime import datetime
from pathlib import Path

from datamodules import predicted_masks
from datamodules.files.masks import Mask, image_mask
from datamodules.segmentation import SegmentationDataModule
from entry import console, hardware
from entry.builders.crosswalk import crosswalk_of, external_space, keep_external
from entry.builders.modules import build_datamodule
from entry.errors import RequestError
from entry.evaluation.assemble import assemble_external
from entry.evaluation.evaluate import write_evaluation
from entry.evaluation.pictures import frames_to_show
from entry.evaluation.summary import print_summary
from entry.job import Job
from entry.launch import launch
from entry.request import Request
from entry.run import claimed
from label_spaces.crosswalk import Crosswalk
from lightning_modules.weights.load import WeightsReport
from metrics.counts import Counts
from run_folder import RunFolder, folder_name, free_name
from settings.run import RunSettings
from streams import printable


def evaluate_weights(request: Request, settings: RunSettings) -> None:
    """Evaluate the weights that `model.weights=` names, in a run folder of their own."""
    folder = _folder(request, settings.model.name, settings.data.name)
    run = assemble_external(folder, settings, settings.split, request.allow)
    assert isinstance(run.datamodule, SegmentationDataModule)
    split = run.datamodule.test_split
    with claimed(folder, run.settings, request, run.machine, run.datamodule, run.weights) as signal:
        keep_external(folder, external_space(settings, run.datamodule.label_space), run.crosswalk)
        announce(run.datamodule, split, run.weights.note, run.crosswalk)
        launch(Job("external", str(folder.path), split=split, allow=request.allow), run, signal)
    print_summary(folder, split)


def evaluate_predictions(request: Request, settings: RunSettings) -> None:
    """Evaluate the masks that `predictions=` names; all are read before a folder is made, and refused together."""
    folder = _folder(request, "predictions", settings.data.name)
    machine = hardware.choose(settings.trainer.model_copy(update={"devices": 1, "num_nodes": 1}))
    datamodule = build_datamodule(settings, test_split=settings.split, own_sizes=True)
    assert isinstance(datamodule, SegmentationDataModule)
    source = external_space(settings, datamodule.label_space)
    crosswalk = crosswalk_of(settings, source, datamodule.label_space)
    datamodule.find_samples()
    split = datamodule.test_split
    if frames := datamodule.without_any_truth(split):
        known = [f"split={name}" for name in ("val", "train") if datamodule.table.indices(name)]
        raise RequestError(
            f"predictions={settings.predictions}: the {len(frames)} frames of {split} have no truth to score masks by. Give the masks "
            f"of a split that has: {' or '.join(known)}. Masks for a benchmark's server are sent to it as they are."
        )
    datamodule.prepare_split(split)
    wanted = [datamodule.table.samples[index].name for index in datamodule.table.indices(split)]
    matches = predicted_masks.match(wanted, datamodule.frames, Path(str(settings.predictions)))
    counts = predicted_masks.count(datamodule, split, matches, source)

    def show(counts: Counts) -> dict[int, Mask]:
        mapping = None if crosswalk is None else crosswalk.mapping
        chosen = frames_to_show(counts, datamodule.label_space, mapping, settings.report.gallery_iou)
        files = {index: matches.files[datamodule.table.samples[index].name] for index in chosen}
        return {index: image_mask(matches.folder / file, source) for index, file in files.items()}

    with claimed(folder, settings, request, machine, datamodule, WeightsReport("none", "none")):
        keep_external(folder, source, crosswalk)
        announce(datamodule, split, matches.note, crosswalk)
        write_evaluation(
            folder,
            settings,
            datamodule,
            split,
            lambda _: counts,
            origin={"file": None, "epoch": None, "step": None},  # no checkpoint of ours made the masks
            crosswalk=crosswalk,
            show=show,
        )
    print_summary(folder, split)


def announce(datamodule: SegmentationDataModule, split: str, note: str, crosswalk: Crosswalk | None) -> None:
    """Print what is evaluated that was not made here, and which classes its label space cannot express."""
    screen, space = console.console(), datamodule.label_space
    for line in (*datamodule.notes, note):
        if line:
            screen.print(printable(f"note: {line}"))
    size = datamodule.scored_at(split)
    where = "their own sizes" if size is None else f"{size[1]}×{size[0]}"
    screen.print(f"{split}: {len(datamodule.table.indices(split))} frames at {where}, {space.name}")
    if crosswalk is None:
        return
    source = crosswalk.source.name
    verbs = {"partly": "can express a part only of", "shared": "counts as another class", "no": "cannot express"}
    for status, verb in verbs.items():
        if names := crosswalk.named(status):
            screen.print(printable(f"note: {source} {verb} {', '.join(names)}."))


def _folder(request: Request, *what: str) -> RunFolder:
    """Where the results go: what was typed, a sweep's folder, or a new one under runs, as of any other command."""
    if request.folder_was_typed:
        return RunFolder(request.folder)
    if request.folder.resolve() != Path.cwd():  # a job of a sweep
        return RunFolder(free_name(request.folder))
    now = datetime.now().astimezone()
    return RunFolder(free_name(Path("runs", f"{now:%Y-%m-%d}", folder_name(f"{now:%H-%M-%S}", "evaluate", *what))))
