"""The scores beside a model's, and the intervals, from an evaluation made by hand."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from entry.evaluation import crossed
from label_spaces.crosswalk import Crosswalk, Link
from label_spaces.space import LabelSpace
from reports.evaluation import Evaluation, baselines, few_groups, intervals

TARGET = np.array([0, 1, 2, 1])


@pytest.fixture
def evaluation():
    """Four samples of three classes; of 100 training samples the third is the commonest, of those that are fitted the first."""
    fitted = np.array([0, 0, 0, 1, 1, 2, 2])
    corners = np.array([[200.0, 30, 30], [30, 200, 30], [30, 30, 200]])
    return Evaluation(
        task="classification", split="test", label_space=LabelSpace("toy", ("red", "green", "blue")), run="run", checkpoint={},
        split_sha256="", resolution=(8, 8), n_expected=4, samples=[], training_counts=[20, 30, 50], facts={"target": TARGET},
        fitted_target=fitted,
        features={"mean_colour": (corners[fitted], corners[TARGET]), "box_size": (np.ones((7, 2)), np.ones((4, 2)))},
    )  # fmt: skip


def test_the_commonest_class_is_that_of_all_and_features_tell_what_they_tell(evaluation):
    found = baselines(evaluation)
    assert list(found) == ["majority", "mean_colour", "box_size"]
    assert found["majority"]["accuracy"] == 0.25  # blue, once
    assert found["mean_colour"] == {"accuracy": 1.0, "f1_macro": 1.0, "f1_weighted": 1.0}
    assert found["box_size"]["accuracy"] == 0.25  # always the same: red, which most of the fitted are


def test_without_features_there_is_the_commonest_class(evaluation):
    plain = replace(evaluation, features={}, fitted_target=np.empty(0, dtype=np.int64))
    assert list(baselines(plain)) == ["majority"]
    assert baselines(plain)["majority"] == baselines(evaluation)["majority"]


@dataclass(frozen=True)
class Frame:
    """A sample of a drive."""

    name: str
    group: str


def frames_of_drives(evaluation, frames, drives):
    """The evaluation of (N, 4, 3) counts of red, green, blue and void by what a model says that knows warm and cold."""
    space = evaluation.label_space
    walk = Crosswalk(LabelSpace("theirs", ("warm", "cold")), space, (Link((0,)), Link((1, 2))), (0, 1, 2))
    counted = {"confusion": frames.sum(0), "matrices": csr_array(frames.reshape(len(frames), -1))}
    samples = [Frame(f"{drive}/{i}", drive) for i, drive in enumerate(drives)]
    return replace(
        evaluation, task="segmentation", samples=samples, facts=crossed(counted, walk), crosswalk=walk
    )  # fmt: skip


def test_a_crossing_has_intervals_with_the_drive_as_its_unit(evaluation):
    drives = np.random.default_rng(0).poisson(20, (5, 4, 3))
    whole = intervals(frames_of_drives(evaluation, drives, "abcde"))
    for name in ("miou_expressible", "miou_closed", "miou_common", "expressible_share", "miou", "accuracy"):
        low, high = whole[name]
        assert 0 < low < high < 1
    # However many frames a drive is parted into, and in whichever order they come.
    halves = np.concatenate([drives // 2, drives - drives // 2])
    parted = intervals(frames_of_drives(evaluation, halves, "abcdeabcde"))
    assert parted == {name: pytest.approx(interval) for name, interval in whole.items()}
    one = intervals(frames_of_drives(evaluation, halves, "a" * 10))
    assert set(one) == set(whole)
    assert set(one.values()) == {None}


def test_classes_of_fewer_than_ten_drives_are_flagged(evaluation):
    frames = np.zeros((24, 4, 3), dtype=np.int64)
    frames[:, 0, 0] = 5  # red is in all 12 drives
    frames[:18, 1, 1] = 5  # green in 9, two frames each
    frames[0, 2, 2] = 5000  # blue in one, however large it is there
    drives = [f"{i // 2}" for i in range(24)]
    assert few_groups(frames_of_drives(evaluation, frames, drives)) == {"green": 9, "blue": 1}
    frames[18:20, 1, 0] = 1  # and missed in a tenth
    frames[:, 2, 2] = 0  # what is nowhere has no score that could be doubted
    assert few_groups(frames_of_drives(evaluation, frames, drives)) == {}
