"""An evaluation of four images made by hand: its scores, tables and baselines."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from label_spaces.crosswalk import Crosswalk, Link
from label_spaces.space import LabelSpace
from metrics.counts import RegionCounts
from metrics.per_sample import ImageRecords, MaskRecords
from metrics.scores import SCORES, TAKEN, Score, accuracy
from reports.evaluation import Evaluation, baselines, calibration, scores_of, slices, write_tables

TARGET, PREDICTION = np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])
SPACE = LabelSpace("toy", ("red", "green", "blue"))
NAMES, GROUPS = ["a/0", "a/1", "b/2", "b/3"], np.array(list("aabb"))


@pytest.fixture
def evaluation():
    """Four samples of three classes; of 100 training samples the third is the commonest, of those that are fitted the first."""
    fitted = np.array([0, 0, 0, 1, 1, 2, 2])
    corners = np.array([[200.0, 30, 30], [30, 200, 30], [30, 30, 200]])
    records, loss = ImageRecords(3), torch.tensor([0.5, 0.25, 1, 0.25])
    records.update(
        index=torch.arange(4),
        target=torch.from_numpy(TARGET),
        prediction=torch.from_numpy(PREDICTION),
        probability=1 - loss / 2,
        loss=loss,
    )
    return Evaluation(
        task="classification", split="test", label_space=SPACE, run="run", checkpoint={"file": "best.ckpt", "epoch": 1, "step": 9},
        split_sha256="", resolution=(8, 8), n_expected=5, names=NAMES, groups=GROUPS, training_counts=[20, 30, 50], counts=records.counts(),
        fitted_target=fitted,
        features={"mean_colour": (corners[fitted], corners[TARGET]), "box_size": (np.ones((7, 2)), np.ones((4, 2)))},
    )  # fmt: skip


@pytest.fixture
def masks():
    """Two frames of four pixels, predicted in the classes warm (red), cold (green and blue) and other."""
    source = LabelSpace("theirs", ("warm", "cold", "other"))
    crosswalk = Crosswalk(source, SPACE, (Link((0,)), Link((1, 2)), Link()), (0, 1, 2))
    records = MaskRecords(3, 3)
    matrices = torch.zeros(2, 4, 4, dtype=torch.int64)
    matrices[0, 0, 0], matrices[0, 1, 1], matrices[0, 0, 2] = 2, 1, 1
    matrices[1, 2, 1], matrices[1, 3, 0] = 3, 1
    records.update(index=torch.tensor([0, 1]), matrices=matrices, loss=torch.full((2,), torch.nan))
    regions = RegionCounts(np.stack([matrices[0], matrices[1], 0 * matrices[0]]), np.array([1, 1, 0]))
    counts = replace(records.counts(), regions=regions).remapped(crosswalk.mapping)
    return Evaluation(
        task="segmentation", split="val", label_space=SPACE, run="run", checkpoint={}, split_sha256="", resolution=None, n_expected=2,
        names=NAMES[1:3], groups=GROUPS[1:3], training_counts=[1, 1, 1], counts=counts, crosswalk=crosswalk, sizes={"image": np.full((2, 2), 2)},
    )  # fmt: skip


def test_scores_of_images_by_hand(evaluation):
    scores = scores_of(evaluation)
    assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (5, 4, 4)
    assert (scores["loss"], scores["accuracy"], scores["void_rate"]) == (0.5, 0.75, 0)
    assert scores["f1_macro"] == pytest.approx((1 + 0.8 + 0) / 3)
    assert (scores["miou_image"], scores["safe_miou"], scores["levels"], scores["crossing"]) == (None,) * 4
    assert scores["few_groups"] == {"red": 1, "green": 2, "blue": 1}
    assert [row["support"] for row in scores["classes"]] == [1, 2, 1]
    assert json.loads(json.dumps(scores)) == {**scores, "policy": {**scores["policy"], "resolution": [8, 8]}}


def test_the_keys_of_scores_json_and_their_order(evaluation, masks):
    keys = [
        "schema",
        "task",
        "split",
        "label_space",
        "run",
        "checkpoint",
        "split_sha256",
        "policy",
        "n_expected",
        "n_seen",
        "n_unique",
        "void_rate",
        "loss",
        "accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "recall_macro",
        "miou",
        "miou_present",
        "miou_image",
        "fwiou",
        "safe_miou",
        "f1_macro_classes",
        "f1_weighted_classes",
        "precision_macro_classes",
        "recall_macro_classes",
        "miou_classes",
        "miou_present_classes",
        "fwiou_classes",
        "safe_miou_classes",
        "levels",
        "crossing",
        "autonue_compat",
        "intervals",
        "few_groups",
        "baselines",
        "classes",
    ]
    assert list(scores_of(evaluation)) == keys
    assert set(scores_of(masks)) == {*keys, "miou_image_worst"}


def test_scores_of_remapped_masks_by_hand(masks):
    scores = scores_of(masks)
    assert scores["loss"] is None  # such a model has none here
    assert scores["accuracy"] == 3 / 7
    assert scores["miou"] == pytest.approx((2 / 3 + 1 / 4 + 0) / 3)  # blue counts as cold, that is, as green
    assert scores["crossing"]["expressible_share"] == 4 / 7
    assert scores["crossing"]["instead"] == {"blue": {"cold": 1.0}}
    assert {"miou_expressible", "miou_image", "miou"} <= scores["intervals"].keys()


def test_a_score_that_is_registered_appears_everywhere(evaluation, monkeypatch):
    monkeypatch.setitem(SCORES, "hits", Score("hits", accuracy))
    scores = scores_of(evaluation)
    assert scores["hits"] == scores["accuracy"]
    assert scores["intervals"]["hits"] is not None
    assert scores["baselines"]["majority"]["hits"] == 0.25
    assert [row["hits"] for row in slices(evaluation)] == [row["accuracy"] for row in slices(evaluation)]


def test_slices_are_by_drive_size_and_region(evaluation, masks):
    assert [(row["slice"], row["value"], row["accuracy"]) for row in slices(evaluation)] == [
        ("all", "all", 0.75),
        ("drive", "a", 1),
        ("drive", "b", 0.5),
    ]
    found = [(row["slice"], row["value"], row["support"]) for row in slices(masks)]
    assert found[3:] == [("image_size", "2x2", 7), ("region_size", "small", 4), ("region_size", "medium", 3)]


def rows(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_tables_of_remapped_masks(masks, tmp_path):
    write_tables(tmp_path, masks, scores_of(masks))
    assert rows(tmp_path / "confusion.csv") == [
        ["truth", "red", "green", "blue", "void"],
        ["red", "2", "0", "0", "1"],
        ["green", "0", "1", "0", "0"],
        ["blue", "0", "3", "0", "0"],
        ["void", "1", "0", "0", "0"],
    ]
    assert rows(tmp_path / "uncrossed.csv")[:2] == [
        ["truth", "warm", "cold", "other", "void"],
        ["red", "2", "0", "1", "0"],
    ]
    assert [row[0] for row in rows(tmp_path / "per_class.csv")] == ["name", "red", "green", "blue"]
    with np.load(tmp_path / "per_sample.npz") as columns:
        assert columns["sample"].tolist() == ["a/1", "b/2"]
        start, end = columns["uncrossed_indptr"][:2]
        assert dict(zip(columns["uncrossed_cell"][start:end], columns["uncrossed_count"][start:end], strict=True)) == {
            0: 2,
            2: 1,
            5: 1,
        }
        assert sorted(columns["cell"][columns["indptr"][0] : columns["indptr"][1]]) == [0, 3, 5]


def test_tables_of_images(evaluation, tmp_path):
    write_tables(tmp_path, evaluation, scores_of(evaluation))
    assert not (tmp_path / "uncrossed.csv").exists()
    with np.load(tmp_path / "per_sample.npz") as columns:
        assert columns["target"].tolist() == TARGET.tolist()
        assert columns["prediction"].tolist() == PREDICTION.tolist()
        assert columns["cell"].tolist() == [0, 5, 9, 5]
        assert columns["group"].tolist() == list("aabb")


def test_the_calibration_of_images_by_hand_on_the_first_of_several_ranks(evaluation, masks, monkeypatch):
    # The others wait elsewhere: gathering from them would fail, as there is no process group.
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    found = [list(row.values()) for row in calibration(evaluation) if row["bin"] is None]
    # Red once with 0.75, right, in one drive; green with 0.875 and 0.875, right, and 0.5, wrong, in two.
    assert [row[:6] for row in found] == [
        [None, "all", None, 4, 0.75, 0.75],
        ["red", "all", None, 1, 0.75, 1.0],
        ["green", "all", None, 3, 0.75, pytest.approx(2 / 3)],
    ]
    assert [row[6] for row in found] == pytest.approx([(0.25 + 0.5 + 2 * 0.125) / 4, 0.25, (0.5 + 2 * 0.125) / 3])
    assert [row[9] for row in found] == [2, 1, 2]
    assert calibration(masks) == []


def test_the_commonest_class_is_that_of_all_and_regressions_depend_on_their_features(evaluation):
    found = baselines(evaluation)
    assert list(found) == ["majority", "mean_colour", "box_size"]
    assert found["majority"]["accuracy"] == 0.25  # blue, once
    assert found["mean_colour"] == {"accuracy": 1.0, "f1_macro": 1.0, "f1_weighted": 1.0}
    assert found["box_size"]["accuracy"] == 0.25  # always the same: red, which most of the fitted are


def test_without_features_there_is_the_commonest_class(evaluation):
    plain = replace(evaluation, features={}, fitted_target=np.empty(0, dtype=np.int64))
    assert list(baselines(plain)) == ["majority"]
    assert baselines(plain)["majority"] == baselines(evaluation)["majority"]


def test_no_score_can_be_called_as_another_key_is(evaluation, masks):
    found = scores_of(masks)
    keys = {*scores_of(evaluation), *found, *found["crossing"], *found["intervals"], *slices(evaluation)[0]}
    assert {name for name in keys - SCORES.keys() - TAKEN if not name.endswith("_classes")} == {
        "from", "full", "partly", "shared", "no", "instead",  # beside which no score of one's own stands
    }  # fmt: skip
