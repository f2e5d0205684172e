"""manifest.json: everything that is needed to use an export, and where it comes from."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from datamodules.splits.sample_table import TABLE_SPLITS, Sample, SampleTable
from entry.checkpoint import Checkpoint
from entry.run import git_commit
from label_spaces.space import LabelSpace
from lightning_modules.weights.load import IMAGENET_MEAN, IMAGENET_STD
from reports.evaluation_files import read_scores
from run_files import Environment, read_csv, read_json
from run_folder import RunFolder, now
from settings.export import WEIGHTS, ExportKeys
from settings.run import RunSettings

VERSION = 1
PACKAGES = ("torch", "onnx", "onnxruntime", "onnxscript", "safetensors")
SPLITS = ("test", "val", "train")
OF_SCORES = ("n_expected", "n_unique", "loss", "intervals", "baselines", "levels", "policy")
TERMS = {
    "idd": "The India Driving Dataset has terms of its own, which also concern what is made from it: https://idd.insaan.iiit.ac.in",
    "cityscapes": "Cityscapes has terms of its own, which also concern what is made from it: https://www.cityscapes-dataset.com/license",
}


@dataclass(frozen=True)
class Description:
    """What is exported."""

    folder: RunFolder
    settings: RunSettings
    keys: ExportKeys
    checkpoint: Checkpoint
    space: LabelSpace  # with colours, where it has some
    size: tuple[int, int]  # (height, width) of the evaluation


def manifest(described: Description, file: Path) -> dict[str, Any]:
    """The content of manifest.json without what the comparison found; `file` is the one that was written."""
    settings, keys, space = described.settings, described.keys, described.space
    environment = read_json(described.folder.environment, Environment) if described.folder.environment.exists() else {}
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    graph = keys.format != "safetensors"
    found = {
        "version": VERSION,
        "format": keys.format,
        "file": file.name,
        "sha256": digest,
        "task": settings.model.task,
        "model": settings.model.name,
        "parameters": environment.get("parameters"),
        "label_space": space.name,
        "classes": list(space.classes),
        "colours": [list(colour) for colour in space.colours] or None,
        "ids": list(space.id_of_index()[:-1]) if settings.model.task == "segmentation" else None,
        "input": {
            "name": "images" if graph else None,
            "dtype": keys.input if graph else "float32",
            "layout": "NCHW",
            "channels": "RGB",
            "range": [0, 255],
            "size": list(described.size),
            "shape": keys.shape,
            "normalisation": {**normalisation(described), "inside": graph},
        },
        "output": keys.output,
        "checkpoint": described.checkpoint.origin,
        "run": described.folder.path.name,
        "data": settings.data.name,
        "split_sha256": split_hashes(described.folder),
        "scores": scores(described),
        "weights": environment.get("weights"),
        "licence": licence(settings, environment.get("weights")),
        "git_commit": {"run": environment.get("git_commit"), "export": git_commit()},
        "packages": {name: next((each.version for each in distributions(name=name)), None) for name in PACKAGES},
        "exported": now(),
    }
    return {**found, "trtexec": trtexec(keys, described.size)}


def normalisation(described: Description) -> dict[str, list[float]]:
    """Mean and standard deviation of the channels in 0–1."""
    model = described.settings.model
    return {"mean": list(model.mean or IMAGENET_MEAN), "std": list(model.std or IMAGENET_STD)}


def split_hashes(folder: RunFolder) -> dict[str, str]:
    """The SHA-256 of the rows of each split, as scores.json has it."""
    if not folder.split.exists():
        return {}
    table = SampleTable(
        Sample(row["sample"], row["group"], row["target"], row["split"]) for row in read_csv(folder.split)
    )
    return {split: table.sha256(split) for split in TABLE_SPLITS if table.indices(split)}


def scores(described: Description) -> dict[str, Any]:
    """By split the scores of the evaluations of this very checkpoint, with their intervals."""
    found = {}
    for split in SPLITS:
        path = described.folder.evaluation(split) / "scores.json"
        content = read_scores(path) if path.is_file() else None
        if content is None or content["checkpoint"] != described.checkpoint.origin:
            continue
        names = [name for name in content["intervals"] or {} if isinstance(content.get(name), float)]
        kept = {name: content[name] for name in OF_SCORES if name in content}
        found[split] = {name: content[name] for name in names} | kept | {"classes": content["classes"]}
    return found


def licence(settings: RunSettings, weights: dict[str, Any] | None) -> list[str]:
    """Sentences on whose terms apply: of the code, of the data, and of the first weights."""
    notes = [
        "The code that trained and exported this model is under the MIT licence; its weights are the work of whoever trained it."
    ]
    data = settings.data.name
    known = next((text for name, text in TERMS.items() if data == name or data.startswith(f"{name}_")), None)
    generated = "The embedded streets are generated by the project and have no terms of their own."
    notes.append(
        generated
        if data == "synthetic_idd"
        else known or f"The terms of the images in data={data} apply to what is made from them."
    )
    used = (weights or {}).get("used", "none")
    if used != "none":
        name = Path(used).name if "/" in used else used
        notes.append(f"The training began with the weights {name}, whose terms apply too.")
    return notes


def trtexec(keys: ExportKeys, size: tuple[int, int]) -> str | None:
    """The line that builds a TensorRT engine of an ONNX file."""
    if keys.format != "onnx":
        return None
    height, width = size
    shapes = "" if keys.shape == "fixed" else "".join(
        f" --{which}Shapes=images:{number}x3x{height}x{width}" for which, number in (("min", 1), ("opt", 1), ("max", 8))
    )  # fmt: skip
    return f"trtexec --onnx={WEIGHTS['onnx']}{shapes} --saveEngine=model.engine"
