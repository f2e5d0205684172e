"""A run that is evaluated: with the weights of its checkpoint or with external ones; and what is no longer as it was."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datamodules.base import ImageDataModule
from datamodules.errors import shortened
from datamodules.segmentation import SegmentationDataModule
from datamodules.splits.sample_table import TABLE_SPLITS
from entry import hardware
from entry.builders.crosswalk import crosswalk_of, difference, external_space
from entry.builders.modules import build_module
from entry.checkpoint import find_checkpoint, load, use_graph
from entry.config.changes import normalised
from entry.errors import RequestError
from entry.evaluation.own_weights import as_trained
from entry.run import FILES, Run, datamodule_of
from lightning_modules.networks.graphs import OnnxGraph
from lightning_modules.supervised import SupervisedModule
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD, WeightsReport
from run_files import read_csv
from run_folder import RunFolder
from settings.base import as_typed
from settings.model import ModelSettings
from settings.run import RunSettings


def assemble_trained(
    folder: RunFolder, settings: RunSettings, checkpoint: str, split: str | None, allow: tuple[str, ...] = ()
) -> Run:
    """Build a run with the weights of a checkpoint, for the evaluation of a split (None: the reported one), on any rank."""
    machine = hardware.choose(settings.trainer)
    datamodule = datamodule_of(folder, settings, split)
    datamodule.find_samples()
    if isinstance(datamodule, SegmentationDataModule):
        datamodule.only_predict(datamodule.test_split)  # where it has no truth
    datamodule.prepare_split(datamodule.test_split)
    module, report = build_module(settings, datamodule.label_space, "none")
    found = find_checkpoint(folder, checkpoint)
    load(module, found)
    return Run(folder, settings, machine, datamodule, module, report, found, allow=allow)


def assemble_external(folder: RunFolder, settings: RunSettings, split: str | None, allow: tuple[str, ...] = ()) -> Run:
    """Build a model with external weights, whose own classes a crosswalk maps to the data's, on any rank.

    Frames of a split without truth are only predicted. Raises a request error where something does not fit.
    """
    machine = hardware.choose(settings.trainer)
    datamodule = datamodule_of(folder, settings, split)
    # The weights come first: a dataset is not searched for weights that cannot be had.
    target = datamodule.label_space
    source = external_space(settings, target)
    crosswalk = crosswalk_of(settings, source, target)
    predicted = target if crosswalk is None else source
    settings, trained_on = as_trained(settings, predicted)
    module, report = build_module(settings, predicted, settings.model.weights, truth=target)
    if isinstance(module.network, OnnxGraph):
        report = _use_onnx(module, module.network, settings.model)
    if trained_on:
        report = replace(report, note="; ".join(filter(None, (report.note, trained_on))))
    if report.normalisation is not None:
        settings = normalised(settings, *report.normalisation)
    datamodule.find_samples()
    assert isinstance(datamodule, SegmentationDataModule)
    only_predicted = datamodule.only_predict(datamodule.test_split)
    datamodule.prepare_split(datamodule.test_split)
    if only_predicted or settings.report.predictions:
        datamodule.prediction_files(datamodule.test_split)  # refused now, not after the predictions
    return Run(folder, settings, machine, datamodule, module, report, crosswalk=crosswalk, allow=allow)


def _use_onnx(module: SupervisedModule, graph: OnnxGraph, model: ModelSettings) -> WeightsReport:
    """Let an ONNX file predict, and report which. Raises RequestError for a normalisation that it does not take."""
    if graph.raw and (model.mean or model.std):
        raise RequestError(
            f"model.onnx={model.onnx} takes images of 0–255 as they are. Leave out model.{'mean' if model.mean else 'std'}."
        )
    use_graph(module, graph)
    images = "images as they are, 0–255" if graph.raw else f"images normalised with {_normalisation(model)}"
    note = f"{model.onnx} is computed by onnxruntime on the CPU, from {images}; its first output is read as {graph.output}."
    return WeightsReport(graph.file, graph.file, note, Path(graph.file).name)


def _normalisation(model: ModelSettings) -> str:
    mean, std = model.mean or list(IMAGENET_MEAN), model.std or list(IMAGENET_STD)
    return f"mean {as_typed(mean)} and standard deviation {as_typed(std)}"


def differences(folder: RunFolder, datamodule: ImageDataModule, splits: Sequence[str] = TABLE_SPLITS) -> list[str]:
    """What is not as it was when a run was made: the label space of its masks, and the files of some of its splits."""
    found = difference(folder, datamodule) if isinstance(datamodule, SegmentationDataModule) else None
    notes = [found[0]] if found else []
    before = {row["sample"]: row for row in read_csv(folder.files)} if folder.files.exists() else {}
    changed = []
    for sample in datamodule.table.samples:
        row, now = before.get(sample.name), datamodule.contents.get(sample.name)
        if row and now and sample.split in splits:
            kinds = [kind for kind, digest in zip(FILES[1:], now, strict=True) if row[kind] != digest]
            changed += [f"{sample.name} ({' and '.join(kinds)})"] if kinds else []
    if changed:
        notes.append(
            f"{len(changed)} samples have other files than when the run was made: {shortened(changed)}. Scores may differ."
        )
    return notes
