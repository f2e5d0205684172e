"""The pictures of a comparison's page: saved masks where there are, else the frames that are shown are predicted again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entry.config.targets import check_targets
from entry.errors import REQUEST_ERRORS, RequestError
from reports.comparison import Evaluated
from reports.html.comparison import MOST_SHOWN, Gallery, Groups, changed
from run_folder import RunFolder

if TYPE_CHECKING:
    from datamodules.files.masks import Mask

IDS = Path("predictions", "ids")  # of an evaluation's folder


def pictures(groups: Groups, split: str, allow: Sequence[str]) -> Gallery:
    """Return the pictures of the samples that changed most, or the reason why there are none.

    torch is imported where the data are there, and what predicts them.
    """
    runs, rows = [group[0] for group in groups[:MOST_SHOWN]], changed(groups).tolist()
    if len(groups) < 2 or not rows:
        return Gallery()
    try:
        for run in runs:
            _check(run, split)
            check_targets(run.settings, allow)
        return _pictures(runs, rows, split, tuple(allow))
    except (*REQUEST_ERRORS, OSError) as error:
        return Gallery(reason=f"The page has no pictures: {error}")


def _check(run: Evaluated, split: str) -> None:
    """Raise RequestError where what is needed was moved or removed."""
    folder, settings, file = RunFolder(run.path), run.settings, run.scores["checkpoint"].get("file")
    trained = run.scores["checkpoint"].get("epoch") is not None
    roots = settings.data.root
    needed = [Path(root) for root in ([roots] if isinstance(roots, str) else roots or ())]
    if settings.model.task == "segmentation" and not _saved(run, split):
        predicts = folder.path / "checkpoints" / str(file) if trained else settings.predictions
        needed += [Path(predicts)] if predicts else []
    if missing := [str(path) for path in needed if not path.exists()]:
        raise RequestError(
            f"{run.name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not there."
        )


def _saved(run: Evaluated, split: str) -> Path | None:
    """Return the folder of the masks that an evaluation saved; None where it has none, or they lost what the classes in common need."""
    folder = RunFolder(run.path).evaluation(split) / IDS
    return folder if folder.is_dir() and not (run.merged and run.merged.crossed) else None


def _pictures(runs: Sequence[Evaluated], rows: Sequence[int], split: str, allow: tuple[str, ...]) -> Gallery:
    from datamodules.files.images import resize_mask
    from datamodules.segmentation import SegmentationDataModule
    from entry.run import datamodule_of
    from reports.html.pictures import legend, strip, thumbnail

    names = [str(runs[0].samples[row]) for row in rows]
    data = datamodule_of(RunFolder(runs[0].path), runs[0].settings, split)
    data.find_samples()
    if not isinstance(data, SegmentationDataModule):
        return Gallery({row: thumbnail(data.read(name)) for row, name in zip(rows, names, strict=True)})
    masks = [_masks(run, names, split, allow) for run in runs]
    merged = runs[0].merged
    space = data.label_space if merged is None else merged.space
    found = {}
    for row, name in zip(rows, names, strict=True):
        image, truth = data.read(name), data.read_mask(name)
        if merged is not None:
            truth = np.asarray(merged.truth, np.uint8)[truth]
        strips = [strip(image, resize_mask(truth, mask[name].shape), mask[name], space) for mask in masks]
        found[row] = [strips[0][0], *(each[2] for each in strips), strips[0][1], *(each[3] for each in strips)]
    return Gallery(found, legend(space))


def _masks(run: Evaluated, names: Sequence[str], split: str, allow: tuple[str, ...]) -> dict[str, "Mask"]:
    """Return the masks that a run predicts of some frames, in the classes of the comparison."""
    from datamodules import predicted_masks
    from datamodules.files.masks import image_mask
    from datamodules.segmentation import SegmentationDataModule
    from entry.builders.crosswalk import crosswalk_of, external_space
    from entry.builders.trainer import build_trainer
    from entry.evaluation.assemble import assemble_external, assemble_trained
    from entry.evaluation.pictures import predict_frames
    from entry.run import datamodule_of

    folder, settings, saved = RunFolder(run.path), run.settings, _saved(run, split)
    if saved or settings.predictions:
        data = datamodule_of(folder, settings, split)
        assert isinstance(data, SegmentationDataModule)
        data.find_samples()
        if saved:
            place, source, walk = saved, data.label_space, None
            files = {name: data.prediction_file(name) for name in names}
        else:
            place, source = Path(str(settings.predictions)), external_space(settings, data.label_space)
            walk = crosswalk_of(settings, source, data.label_space)
            files = predicted_masks.match(names, data.frames, place).files
        found = {name: image_mask(place / files[name], source) for name in names}
    else:
        alone = settings.trainer.model_copy(update={"devices": 1, "num_nodes": 1})
        settings = settings.model_copy(update={"trainer": alone})
        checkpoint = run.scores["checkpoint"]
        if checkpoint.get("epoch") is None:
            built = assemble_external(folder, settings, split, allow)
        else:
            built = assemble_trained(folder, settings, Path(checkpoint["file"]).stem, split, allow)
        walk, index = built.crosswalk, {name: i for i, name in enumerate(built.datamodule.names)}
        assert isinstance(built.datamodule, SegmentationDataModule)
        data = built.datamodule
        trainer = build_trainer(settings, built.machine, folder, headline=built.module.headline, callbacks=[])
        masks = predict_frames(trainer, built.module, data, [index[name] for name in names])
        found = {name: masks[index[name]] for name in names}
    if run.merged is not None:
        table = np.asarray(run.merged.predicted, np.uint8)
    elif walk is not None:
        table = np.asarray([*walk.mapping, data.label_space.void], np.uint8)
    else:
        return found
    return {name: table[mask] for name, mask in found.items()}
