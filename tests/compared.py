"""Run folders with evaluations that are made, not trained: what tests of comparisons share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from entry.cli.help import CONF
from label_spaces.space import LabelSpace
from metrics.per_sample import ImageRecords, MaskRecords
from reports.evaluation import Evaluation, scores_of, write_tables
from settings.run import LaunchKeys

CLASSES = ("person", "car, parked", "sky_&_cloud")
DRIVES, FRAMES = 20, 6
GROUPS = np.repeat([f"drive{i:02}" for i in range(DRIVES)], FRAMES)
NAMES = [f"{group}/{i}.png" for i, group in enumerate(GROUPS)]
TARGET = np.random.default_rng(0).integers(0, 3, len(NAMES))


def predicted(right: float, seed: int) -> np.ndarray:
    """Predictions of which about this share is right; how many are differs between drives."""
    draws = np.random.default_rng(seed)
    share = (right + draws.normal(0, 0.05, DRIVES)).clip(0, 1)[np.repeat(np.arange(DRIVES), FRAMES)]
    return np.where(draws.random(len(TARGET)) < share, TARGET, draws.integers(0, 3, len(TARGET)))


def settings(*overrides: str) -> dict[str, Any]:
    """The configuration of a run as plain values."""
    OmegaConf.register_new_resolver("project", lambda path: str(CONF.parent / path), replace=True)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["data=image_folder", "data.root=/pictures", "logger=csv", *overrides])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {key: value for key, value in plain.items() if key not in ("hydra", "allow", *LaunchKeys.model_fields)}


def write_run(
    folder: Path, right: float, seed: int = 0, *overrides: str, split: str = "test", samples: slice = slice(None), scores: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write the evaluation of a classifier that is right in about this share; `scores` replace keys of scores.json."""
    prediction, records = predicted(right, seed + round(1000 * right)), ImageRecords(3)
    index = np.arange(len(TARGET))[samples]
    known = {"target": TARGET[samples], "prediction": prediction[samples]}
    records.update(index=torch.arange(len(index)), probability=torch.ones(len(index)), loss=torch.ones(len(index)), **{k: torch.from_numpy(v) for k, v in known.items()})  # fmt: skip
    evaluation = Evaluation(
        task="classification", split=split, label_space=LabelSpace("toy", CLASSES), run=folder.name, checkpoint={}, split_sha256="", resolution=(64, 64),
        n_expected=len(index), names=[NAMES[i] for i in index], groups=GROUPS[samples], training_counts=[1, 1, 1], counts=records.counts(),
        looks={"flip": False},
    )  # fmt: skip
    return _write(folder, evaluation, [f"seed={seed}", *overrides], scores)


def write_masks(folder: Path, right: float, seed: int = 0, *, resolution: Sequence[int] | None = (4, 9)) -> Path:
    """Write the evaluation of a segmenter over frames of 36 pixels, with void in the truth."""
    draws, records = np.random.default_rng(seed + round(1000 * right)), MaskRecords(3)
    truth = np.random.default_rng(7).multinomial(36, [0.2, 0.5, 0.25, 0.05], len(NAMES))
    hits = draws.binomial(truth, right)
    matrices = np.zeros((len(NAMES), 4, 4), dtype=np.int64)
    for name in range(4):
        matrices[:, name, name] += hits[:, name]
        matrices[:, name, (name + 1) % 4] += truth[:, name] - hits[:, name]
    records.update(index=torch.arange(len(NAMES)), matrices=torch.from_numpy(matrices), loss=torch.full((len(NAMES),), torch.nan))  # fmt: skip
    evaluation = Evaluation(
        task="segmentation", split="val", label_space=LabelSpace("toy", CLASSES), run=folder.name, checkpoint={}, split_sha256="", resolution=resolution,
        n_expected=len(NAMES), names=NAMES, groups=GROUPS, training_counts=[1, 1, 1], counts=records.counts(),
    )  # fmt: skip
    data = ["data=mask_folder", "data.classes=[a,b,c]", "model=deeplabv3_resnet50", "model.weights=none"]
    return _write(folder, evaluation, [*data, f"seed={seed}"], None)


def _write(folder: Path, evaluation: Evaluation, overrides: Sequence[str], scores: Mapping[str, Any] | None) -> Path:
    target = folder / "evaluation" / evaluation.split
    target.mkdir(parents=True)
    write_tables(target, evaluation, {**scores_of(evaluation), **(scores or {})})
    text = yaml.safe_dump(settings(*overrides))
    for place in (folder, target):
        (place / "config.yaml").write_text(text, encoding="utf-8")
    return folder
