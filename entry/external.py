"""Evaluating what was not trained here: weights from elsewhere, or masks that any tool has made."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from datamodules import predicted_masks
from datamodules.segmentation import SegmentationDataModule
from entry import console, hardware
from entry.build import modules
from entry.build.crosswalk import crosswalk_of, foreign_space
from entry.config.resolve import resolved, to_yaml
from entry.distributed.launch import launch
from entry.errors import RequestError
from entry.evaluation.checkpoint import collect
from entry.evaluation.evaluate import write_results
from entry.job import Job
from entry.request import Request
from entry.run import assemble_foreign, claimed
from entry.session import session
from label_spaces.crosswalk import Crosswalk
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.weights.load import WeightsReport
from metrics.counts import Counts
from run_folder import RunFolder, Status, free_name, replace_folder, write_text

# Keys, and groups of them, that are heard when what was not trained here is evaluated: the data, and the machine.
HEARD = ("split", "crosswalk", "data", "report.region_sizes", "seed", "logger", "trainer")
OF_TRAINING = tuple(
    f"trainer.{key}"
    for key in ("max_epochs", "accumulate", "gradient_clip", "sync_batchnorm", "find_unused_parameters")
)


def evaluate_weights(request: Request) -> None:
    """Evaluate the weights that `model.weights=` names, in a run folder of their own."""
    heard = (*HEARD, "model", "lightning_module", "experiment", "evaluation", "report.predictions")
    _refuse_needless(request, "model.weights=", "they are evaluated as they are", heard, OF_TRAINING)
    config = resolved(request)
    if config["model"]["task"] != "segmentation":
        raise RequestError(
            f"model={config['model']['name']} does {config['model']['task']}; weights from elsewhere can be evaluated for "
            "segmentation only."
        )
    if config["model"]["weights"] in ("auto", "none", "imagenet"):
        raise RequestError(
            f"model.weights={config['model']['weights']}: such a network has no word for any class yet. Type "
            "model.weights=coco_voc, or the path of trained weights and model.label_space=NAME."
        )
    folder = _folder(request, config["model"]["name"], config["data"]["name"])
    run = assemble_foreign(folder, config, request.config.split)
    assert isinstance(run.datamodule, SegmentationDataModule)
    split = str(request.config.split or run.datamodule.closing_split)
    with (
        claimed(folder, config, request, run.machine, run.datamodule, run.weights),
        session(folder.status_file()) as signal,
    ):
        console.foreign(run.datamodule, split, run.weights.note, run.crosswalk)
        launch(Job("foreign", str(folder.path), checkpoint=None, split=split), run, signal)
    console.conclude(folder, split)


def evaluate_predictions(request: Request) -> None:
    """Evaluate the masks that `predictions=` names; all are read before a folder is made, and refused together."""
    heard = (*HEARD, "predictions", "predictions_label_space")
    deaf = (*OF_TRAINING, "trainer.limit_batches")
    _refuse_needless(request, "predictions=", "the masks are there already", heard, deaf)
    if "segmentation" not in request.config.data.get("targets", {}):
        raise RequestError(
            f"predictions= are masks, and data={request.config.data.name} has none to score them with. Type data=idd, "
            "data=idd_lite or data=mask_folder, and data.root=DIR."
        )
    request.config.model = {"name": "predictions", "task": "segmentation", "weights": "none"}
    config = resolved(request)
    folder = _folder(request, "predictions", config["data"]["name"])
    machine = hardware.choose({**config["trainer"], "devices": 1, "num_nodes": 1})
    datamodule = modules.build_datamodule(config)
    assert isinstance(datamodule, SegmentationDataModule)
    datamodule.own_sizes = True
    source = foreign_space(config)
    crosswalk = crosswalk_of(config, source, datamodule.label_space)
    datamodule.prepare([])
    split = str(request.config.split or datamodule.closing_split)
    if frames := datamodule.without_any_truth(split):
        known = [f"split={name}" for name in ("val", "train") if datamodule.table.indices(name)]
        raise RequestError(
            f"predictions={config['predictions']}: the {len(frames)} frames of {split} have no truth to score masks by. Give "
            f"the masks of a split that has: {' or '.join(known)}. What a server scores is sent to it as it is."
        )
    datamodule.prepare([split])
    wanted = [datamodule.table.samples[index].name for index in datamodule.table.indices(split)]
    matches = predicted_masks.match(wanted, datamodule.frames, Path(config["predictions"]))
    counts = predicted_masks.count(datamodule, split, matches, source)
    weights = WeightsReport("none", "none")
    with (
        claimed(folder, config, request, machine, datamodule, weights),
        session(folder.status_file()),
    ):
        console.foreign(datamodule, split, matches.note, crosswalk)
        _write(folder, config, datamodule, split, counts, crosswalk)
    console.conclude(folder, split)


def _refuse_needless(request: Request, asked: str, why: str, heard: Sequence[str], deaf: Sequence[str]) -> None:
    """Raise RequestError for a typed key that would change nothing: who typed it would believe it had."""
    for key in (override.split("=")[0].lstrip("+~") for override in request.overrides):
        if key in deaf or not any(key == each or key.startswith(f"{each}.") for each in heard):
            raise RequestError(f"{asked} makes no sense with {key}=: {why}. Leave one of them out.")


def _write(
    folder: RunFolder,
    config: dict[str, Any],
    datamodule: SegmentationDataModule,
    split: str,
    counts: Counts,
    crosswalk: Crosswalk | None,
) -> None:
    nothing = {"file": None, "epoch": None, "step": None}  # no checkpoint of ours made the masks

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(config))
        with session(Status(target / "status.json")):
            evaluation = collect(config, folder, nothing, datamodule, split, counts, crosswalk)
            write_results(target, folder, datamodule, evaluation, SegmentationModule.headline)

    replace_folder(folder.evaluation(split), fill)


def _folder(request: Request, *what: str) -> RunFolder:
    """Where the results go: what was typed, a sweep's folder, or a new one under runs, as of any other door."""
    if request.folder_was_typed:
        return RunFolder(request.folder)
    if request.folder.resolve() != Path.cwd():  # a job of a sweep
        return RunFolder(free_name(request.folder))
    now = datetime.now().astimezone()
    return RunFolder(free_name(Path("runs", f"{now:%Y-%m-%d}", "_".join((f"{now:%H-%M-%S}", "evaluate", *what)))))
