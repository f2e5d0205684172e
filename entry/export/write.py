"""An export, written into a folder of its own once it predicts what the run does."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from entry.builders.modules import build_module
from entry.checkpoint import Checkpoint, find_checkpoint, load
from entry.errors import RequestError
from entry.evaluation.evaluate import replace_folder
from entry.export.check import Compared, compared, facts
from entry.export.formats import write_file
from entry.export.manifest import Description, manifest
from entry.model import evaluated_size, with_colours
from lightning_modules.errors import NetworkError
from lightning_modules.supervised import SupervisedModule
from reports.model_card import model_card
from run_folder import RunFolder, write_json, write_text
from settings.export import WEIGHTS, ExportKeys
from settings.run import RunSettings


def export(folder: RunFolder, settings: RunSettings, keys: ExportKeys, checkpoint: str, target: Path) -> list[Compared]:
    """Write a run's export into `target`: the file of its format, config.yaml, split.csv, manifest.json and MODEL_CARD.md.

    The folder appears when the file has been read again and compared with the network. Raises ExportError where they differ, and
    request errors. Returns what was compared.
    """
    found = find_checkpoint(folder, checkpoint)
    size = settings.data.eval_size or evaluated_size(folder) or settings.data.image_size
    described = Description(folder, settings, keys, found, with_colours(folder, settings.data, found.label_space), size)
    results: list[Compared] = []

    def fill(fresh: Path) -> None:
        path = fresh / WEIGHTS[keys.format]
        module = loaded(settings, found)
        write_file(path, module, keys, size, embedded(described))
        content = manifest(described, path)
        write_json(RunFolder(fresh).manifest, content)
        write_text(fresh / "config.yaml", settings.to_yaml())
        for each in (folder.split, folder.files, folder.label_space):
            if each.exists():
                shutil.copyfile(each, fresh / each.name)
        again = loaded(settings, find_checkpoint(RunFolder(fresh), "best"))
        fixed, ids = keys.shape == "fixed", keys.output == "ids"
        try:
            results.extend(compared(module, again, size, fixed=fixed, ids=ids))
        except NetworkError as error:
            hint = "" if fixed else " For the size of its evaluation alone type shape=fixed."
            raise RequestError(f"format={keys.format}: {str(error).replace(str(fresh), str(target))}.{hint}") from None
        content["check"] = facts(results)
        write_json(RunFolder(fresh).manifest, content)
        write_text(fresh / "MODEL_CARD.md", model_card(content))

    replace_folder(target, fill)
    return results


def summary(found: Sequence[Compared]) -> str:
    """A line on what was compared."""
    sizes = ", ".join(f"{each.images} of {each.height}×{each.width}" for each in found)
    differences = [each.difference for each in found if each.difference is not None]
    logits = f"logits differ by {max(differences):.1e} at most, " if differences else ""
    return f"compared with the network (images: {sizes}): {logits}{min(each.equal for each in found):.3%} of the classes are equal"


def loaded(settings: RunSettings, checkpoint: Checkpoint) -> SupervisedModule:
    """The module of a run with the weights of a checkpoint or an export, in evaluation mode and float32 on the CPU."""
    plain = settings.evaluation.model_copy(update={"flip": False, "scales": [1.0], "window": None, "stride": None})
    module, _ = build_module(settings.model_copy(update={"evaluation": plain}), checkpoint.label_space, "none")
    load(module, checkpoint)
    return module.eval().to(torch.float32)


def embedded(described: Description) -> Mapping[str, str]:
    """Metadata kept in the ONNX file itself, for users who have the file alone."""
    known: dict[str, Any] = {
        "input_range": "0-255",
        "classes": json.dumps(described.space.classes),
        "run": described.folder.path.name,
    }
    return {"producer": "idd-lightning", **known}
