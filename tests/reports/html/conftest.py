"""Evaluations made by hand, with all files that a page is made of."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from entry.config.resolve import resolved
from label_spaces.space import LabelSpace
from metrics.calibration import CalibrationSums
from metrics.per_sample import ImageRecords, MaskRecords
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.html.files import EvaluationFiles, read_files
from run_folder import RunFolder, write_csv, write_json, write_table, write_text
from tests.entry.config.test_resolve import request as typed_request

AWKWARD = "<script>alert(1)</script>"
STATUS = {"state": "finished", "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:04:15+00:00", "seconds": 10.0, "git_commit": "def456"}  # fmt: skip


class Page(HTMLParser):
    """The tables of a page by their ids, rows of texts or of `data-value`; all text; the attributes of each tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._rows: list[list[str]] | None = None
        self._cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "table":
            self._rows = self.tables.setdefault(str(found.get("id", len(self.tables))), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell, self._value = "", found.get("data-value")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._rows and self._cell is not None:
            self._rows[-1].append(" ".join(self._cell.split()) if self._value is None else self._value)
            self._cell = None


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The configuration of a run of each task, as YAML."""
    where = tmp_path_factory.mktemp("typed")
    models = {"classification": "custom_cnn", "segmentation": "deeplabv3_mobilenet_v3_large"}
    return {task: resolved(typed_request(where, f"model={model}")).to_yaml() for task, model in models.items()}


def write_run(
    root: Path, evaluation: Evaluation, config: str, *, split: str = "test", epochs: int = 3
) -> EvaluationFiles:
    """Write the folder of a run with one evaluation, and read it as a page does."""
    run, folder = RunFolder(root), root / "evaluation" / split
    folder.mkdir(parents=True)
    write_tables(folder, evaluation, scores_of(evaluation))
    classes = evaluation.label_space.classes
    write_table(folder / "class_counts.csv", ["name", "train", split], [(name, 10 * i, 5) for i, name in enumerate(classes)])  # fmt: skip
    sizes = [("train", "8x8", 4), ("train", "9x8", 2), (split, "8x8", len(evaluation.names))]
    write_table(folder / "image_sizes.csv", ["split", "size", "samples"], sizes)
    for path in (run.config, folder / "config.yaml"):
        write_text(path, config)
    write_json(folder / "status.json", STATUS)
    write_text(run.overrides, "optimizer.lr=0.01\ndata.name=a b\n")
    skipped = [{"sample": "c/9", "reason": "cannot be <read>"}]
    write_json(run.environment, {"python": "3", "git_commit": "abc123", "weights": {"requested": "auto", "used": "none"}, "notes": ["Mind & this."], "skipped": skipped})  # fmt: skip
    rows = [{"sample": name, "group": group, "target": "x", "split": split} for name, group in zip(evaluation.names, evaluation.groups, strict=True)]  # fmt: skip
    rows += [{"sample": f"t/{i}", "group": f"t{i // 2}", "target": "x", "split": "train"} for i in range(6)]
    write_csv(run.split, rows)
    score = "f1_macro" if evaluation.task == "classification" else "miou"
    curve = [0.2, 0.5, 0.4, 0.45, 0.3]
    history = [
        {"epoch": i, "step": 4 * i + 4, "lr": 0.01 / (i + 1), "train/loss": 2 - 0.3 * i, "train_eval/loss": None, "val/loss": 2 - 0.2 * i, f"val/{score}": curve[i % 5], "seconds": 3.0}
        for i in range(epochs)
    ]  # fmt: skip
    if history:
        write_csv(run.history, history)
        write_csv(run.timing, [{"epoch": i, "steps": 2.0, "waited": 0.25 * (i + 1)} for i in range(epochs)])
    return read_files(folder, run)


def classified(
    truth: list[int], prediction: list[int], probability: list[float], classes: tuple[str, ...]
) -> Evaluation:
    """An evaluation of images in two drives; the probability is that of the predicted class, and the rest is spread evenly."""
    count = len(classes)
    right = np.array(truth) == np.array(prediction)
    given = np.where(right, probability, (1 - np.array(probability)) / max(1, count - 1))
    records = ImageRecords(count)
    records.update(
        index=torch.arange(len(truth)), target=torch.tensor(truth), prediction=torch.tensor(prediction),
        probability=torch.tensor(probability), loss=torch.from_numpy(-np.log(given)).float(),
    )  # fmt: skip
    names = [f"{'ab'[i % 2]}/{i}" for i in range(len(truth))]
    return Evaluation(
        task="classification", split="test", label_space=LabelSpace("toy", classes), run="a run", checkpoint={"file": "best.ckpt", "epoch": 1, "step": 8},
        split_sha256="", resolution=(8, 8), n_expected=len(truth), names=names, groups=np.array([name[0] for name in names]),
        training_counts=[10 * i for i in range(count)], counts=records.counts(), looks={"flip": False, "scales": [1.0], "window": None, "stride": None},
    )  # fmt: skip


@pytest.fixture
def images(tmp_path: Path, settings: dict[str, str]) -> EvaluationFiles:
    """Eight images of three classes, of which the first is called as a script; five are right."""
    truth, prediction = [0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 2, 0]
    probability = [0.92, 0.8, 0.6, 0.72, 0.99, 0.52, 0.77, 0.4]
    evaluation = classified(truth, prediction, probability, (AWKWARD, "green & blue", "never"))
    return write_run(tmp_path / "run", evaluation, settings["classification"])


@pytest.fixture
def masks(tmp_path: Path, settings: dict[str, str]) -> EvaluationFiles:
    """Three frames of ten pixels in two drives, of road, car and a class that does not occur; one pixel of truth is void."""
    matrices = torch.zeros(3, 4, 4, dtype=torch.int64)
    matrices[0, 0, 0], matrices[0, 1, 1] = 6, 4  # all right
    matrices[1, 0, 0], matrices[1, 1, 0], matrices[1, 3, 0] = 5, 4, 1  # the car is taken for road
    matrices[2, 0, 0], matrices[2, 0, 1], matrices[2, 0, 3] = 7, 2, 1  # some road for car, some for nothing
    records = MaskRecords(3)
    records.update(index=torch.arange(3), matrices=matrices, loss=torch.ones(3, dtype=torch.float64))
    sums = CalibrationSums(2, 3)  # every pixel is 0.75 sure, and the first of each pair of classes is at a boundary
    for group, matrix in zip((0, 0, 1), matrices, strict=True):
        for truth, prediction in matrix.nonzero().tolist():
            pixels = torch.arange(int(matrix[truth, prediction]))[None]
            sums.update(
                torch.full(pixels.shape, 0.75),
                pixels * 0 + prediction,
                pixels * 0 + truth,
                torch.tensor([group]),
                pixels == 0,
            )
    evaluation = Evaluation(
        task="segmentation", split="val", label_space=LabelSpace("streets", ("road", "car", "boat")), run="a run",
        checkpoint={"file": "best.ckpt", "epoch": 1, "step": 8}, split_sha256="", resolution=(2, 5), n_expected=3, names=["d/0", "d/1", "e/2"],
        groups=np.array(["d", "d", "e"]), training_counts=[9, 9, 0], counts=replace(records.counts(), calibration=sums.compute()), sizes={"image": np.array([[2, 5]] * 3)},
        pixel_baselines={"colour_row": {"accuracy": 0.5, "miou": 0.3, "fwiou": 0.4}}, looks={"flip": True, "scales": [1.0], "window": None, "stride": None},
    )  # fmt: skip
    return write_run(tmp_path / "run", evaluation, settings["segmentation"], split="val")
