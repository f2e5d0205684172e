"""The last lines of a command, for a scores.json written by hand: rules, other figures, the headline, the folder."""

import json

import pytest

from entry.evaluation.summary import print_summary
from run_folder import RunFolder

SCORES = {
    "task": "segmentation",
    "split": "val",
    "label_space": "idd_level3",
    "checkpoint": {"file": "best.ckpt"},
    "f1_macro": 0.5,
    "f1_weighted": 0.6,
    "policy": {"resolution": [720, 1280]},
    "n_seen": 3,
    "n_expected": 3,
    "void_rate": 0.0351,
    "accuracy": 0.624,
    "miou": 0.41,
    "miou_classes": 15,
    "miou_present": 0.515,
    "miou_present_classes": 12,
    "miou_image": 0.35,
    "miou_image_worst": 0.21,
    "fwiou": 0.52,
    "safe_miou": 0.31,
    "levels": {"idd_level2": {"miou": 0.44}, "idd_level1": {"miou": 0.58}},
    "crossing": None,
    "autonue_compat": {"level3": {"miou": None}, "level2": {"miou": 0.45}, "level1": {"miou": 0.6}},
    "baselines": {},
    "intervals": {"miou": [0.3, 0.5]},
    "classes": [],
}


def lines_of(tmp_path, capsys, **changes):
    folder = RunFolder(tmp_path / "run")
    folder.evaluation("val").mkdir(parents=True, exist_ok=True)
    (folder.evaluation("val") / "scores.json").write_text(json.dumps({**SCORES, **changes}))
    print_summary(folder, "val")
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == str(folder.path)
    return lines


def test_the_policy_and_other_figures_called_miou_come_before_the_headline(tmp_path, capsys):
    assert lines_of(tmp_path, capsys) == [
        "scored at 1280×720; void truth is ignored, a void prediction is a miss: void_rate 0.035",
        "miou_present 0.515 (12 of 15 classes have truth)  miou_image 0.350 (each frame by itself; the worst 5 %: 0.210)  safe_miou 0.310",
        "miou at coarser levels: idd_level2 0.440  idd_level1 0.580",
        "IDD's own script prints, faults included: level3 nan  level2 0.450  level1 0.600",
        "val: miou 0.410 [0.300, 0.500]  fwiou 0.520  accuracy 0.624",
    ]


def test_figures_that_a_label_space_does_not_have_are_left_out(tmp_path, capsys):
    lines = lines_of(tmp_path, capsys, policy={"resolution": None}, safe_miou=None, levels=None, autonue_compat=None)
    assert lines[0].startswith("scored at the frames' own sizes; ")
    assert len(lines) == 3
    assert lines[1].endswith("the worst 5 %: 0.210)")


@pytest.mark.parametrize(
    "changes", [{"accuracy": None}, {"task": "classification", "f1_macro": 0.5, "f1_weighted": 0.5}]
)
def test_images_and_frames_without_truth_have_none_of_these_lines(tmp_path, capsys, changes):
    (line,) = lines_of(tmp_path, capsys, **changes)
    assert line.startswith("val: ")


IMAGES = {"task": "classification", "accuracy": 0.875, "f1_macro": 0.5, "f1_weighted": 0.625, "intervals": {"accuracy": [0.75, 0.9375]}}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (IMAGES, "val: accuracy 0.875 [0.750, 0.938]  f1_macro 0.500  f1_weighted 0.625"),
        ({**IMAGES, "intervals": None}, "val: accuracy 0.875  f1_macro 0.500  f1_weighted 0.625"),
        (
            {**IMAGES, "baselines": {"majority": {"accuracy": 0.5}, "mean_colour": {"accuracy": 0.75}, "box_size": {"accuracy": None}}},
            "val: accuracy 0.875 [0.750, 0.938]  f1_macro 0.500  f1_weighted 0.625  (baseline mean_colour: accuracy 0.750)",
        ),
        ({**IMAGES, "baselines": {"majority": {"accuracy": 0.5}, "mean_colour": {"accuracy": 0.5}}},
         "val: accuracy 0.875 [0.750, 0.938]  f1_macro 0.500  f1_weighted 0.625  (baseline majority: accuracy 0.500)"),
        ({"accuracy": None, "n_seen": 5, "n_expected": 6}, "val: no truth, so no scores; 5 of 6 frames are predicted"),
    ],
)  # fmt: skip
def test_the_headline_has_intervals_and_the_best_baseline(tmp_path, capsys, changes, line):
    assert lines_of(tmp_path, capsys, **changes) == [line]


@pytest.mark.parametrize(
    ("few", "named"),
    [
        ({"a": 1, "b": 9}, "a 1, b 9"),
        (dict.fromkeys("abcdefgh", 2), "a 2, b 2, c 2, d 2, e 2, f 2 and 2 more (few_groups in scores.json)"),
    ],
)
def test_classes_that_are_true_in_few_groups_are_named(tmp_path, capsys, few, named):
    first = lines_of(tmp_path, capsys, **IMAGES, few_groups=few)[0]
    assert first == (
        f"note: true in fewer than 10 drives (images, where there are none): {named}; chance may have made their scores"
    )


def test_figures_and_predictions_are_named_where_they_are(tmp_path, capsys):
    place = RunFolder(tmp_path / "run").evaluation("val")
    for name in ("figures", "predictions"):
        (place / name).mkdir(parents=True)
    figures = {"iou": 0.5, "precision": None, "recall": 0.5, "f1": 0.6, "support": 9, "predicted": 9}
    classes = [{"name": "car", **figures}, {"name": "ऑटो", **figures}]
    lines = lines_of(tmp_path, capsys, **IMAGES, classes=classes)
    assert lines[:3] == [
        f"figures: {place / 'figures'}",
        "note: the figures' font lacks letters, which they show as boxes: ऑटो",
        f"predictions: {place / 'predictions'}",
    ]
