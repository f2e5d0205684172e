"""Whatever classes are called, every number can be read back from the tables of an evaluation: the truth is what was counted."""

import csv
import json

import numpy as np
import pytest
import torch

from label_spaces.crosswalk import Crosswalk, Link
from label_spaces.space import LabelSpace
from metrics.per_sample import MaskRecords
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.figures.confusion import confusion_figure
from tests.names import draw
from tests.reports.figures.conftest import texts

HAND_PICKED = (
    ("void", "sky", "car"), ("file", "label", "probability", "truth", "image", "name", "support"), ("truth", "void", "void (class)"),
    ("a", "A", "a ", " a"), ("caf\u00e9", "cafe\u0301"), ("a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", "a\tb"), ("x" * 300, "x" * 299 + "y"), ("..", "-x", "=1", "CON"),
)  # fmt: skip
MANY = [*HAND_PICKED, *map(draw, range(60))]


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def evaluation_of(classes, matrices, crosswalk=None):
    """An evaluation of frames, of which `matrices` are the counts, (N, C+1, P+1)."""
    records = MaskRecords(matrices.shape[1] - 1, matrices.shape[2] - 1)
    records.update(
        index=torch.arange(len(matrices)), matrices=torch.from_numpy(matrices), loss=torch.zeros(len(matrices))
    )
    counts = records.counts()
    drives = [f"drive {number}" for number in range(len(matrices))]
    return Evaluation(
        task="segmentation", split="val", label_space=LabelSpace("mine", classes), run="run", checkpoint={}, split_sha256="", resolution=None,
        n_expected=len(matrices), names=drives, groups=np.array(drives), training_counts=[1] * len(classes),
        counts=counts if crosswalk is None else counts.remapped(crosswalk.mapping), crosswalk=crosswalk,
    )  # fmt: skip


@pytest.mark.parametrize("classes", MANY, ids=range(len(MANY)))
def test_every_number_can_be_read_back(tmp_path, classes):
    draws = np.random.default_rng(len(classes))
    matrices = draws.integers(0, 50, (3, len(classes) + 1, len(classes) + 1)) * (draws.random((3, 1, 1)) < 0.8)
    matrices[0] += 1
    total = matrices.sum(0)
    evaluation = evaluation_of(classes, matrices)
    write_tables(tmp_path, evaluation, scores_of(evaluation))
    header, *lines = rows(tmp_path / "confusion.csv")
    assert header == ["truth", *classes, "void"]
    assert [line[0] for line in lines] == [*classes, "void"]
    assert [[int(cell) for cell in line[1:]] for line in lines] == total.tolist()
    header, *lines = rows(tmp_path / "per_class.csv")
    assert [line[0] for line in lines] == [*classes]
    assert [int(line[header.index("support")]) for line in lines] == total[:-1].sum(1).tolist()
    assert [int(line[header.index("predicted")]) for line in lines] == total[:-1, :-1].sum(0).tolist()
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [row["name"] for row in scores["classes"]] == [*classes]
    assert [row["support"] for row in scores["classes"]] == total[:-1].sum(1).tolist()
    drives = (matrices[:, :-1].sum(2) > 0).sum(0)
    assert scores["few_groups"] == dict(zip(classes, drives.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_every_number_before_a_crosswalk_can_be_read_back(tmp_path, seed):
    classes, source = draw(seed), draw(1000 + seed) if seed else ("void", "void (class)", "rest")
    links = (*(Link((0,)) for _ in source[1:]), Link())
    crosswalk = Crosswalk(LabelSpace("theirs", source), LabelSpace("mine", classes), links, tuple(range(len(classes))))
    matrices = np.random.default_rng(seed).integers(1, 50, (1, len(classes) + 1, len(source) + 1))
    evaluation = evaluation_of(classes, matrices, crosswalk)
    scores = scores_of(evaluation)
    write_tables(tmp_path, evaluation, scores)
    header, *lines = rows(tmp_path / "uncrossed.csv")
    assert header == ["truth", *source, "void"]
    assert [[int(cell) for cell in line[1:]] for line in lines] == matrices[0].tolist()
    for index, name in enumerate(classes[1:], start=1):  # only the first can be expressed
        shares = matrices[0, index] / matrices[0, index].sum()
        found = scores["crossing"]["instead"][name]
        assert list(found.values()) == pytest.approx(np.sort(shares)[::-1][:3])
        if "void" in found:
            assert found["void"] == pytest.approx(shares[-1])


@pytest.mark.parametrize("classes", [*HAND_PICKED, *map(draw, range(4))], ids=range(len(HAND_PICKED) + 4))
def test_each_class_has_a_label_of_its_own_in_a_figure(tmp_path, classes):
    confusion = np.ones((len(classes) + 1, len(classes) + 1), np.int64)
    labels = texts(confusion_figure(confusion, classes, tmp_path / "c.png").axes[0].get_xticklabels())
    assert len(labels) == len(set(labels)) == len(classes) + 1
    assert labels[-1] == "void"
