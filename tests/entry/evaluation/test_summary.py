"""What stands on the screen when an evaluation is done: the rules and the other figures, the headline, the folder."""

import json

import pytest

from entry.evaluation.summary import print_summary
from run_folder import RunFolder

LEVEL3 = {
    "task": "segmentation",
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


def told(tmp_path, capsys, **changes):
    folder = RunFolder(tmp_path / "run")
    folder.evaluation("val").mkdir(parents=True, exist_ok=True)
    (folder.evaluation("val") / "scores.json").write_text(json.dumps({**LEVEL3, **changes}))
    print_summary(folder, "val")
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == str(folder.path)
    return lines


def test_the_policy_and_what_else_is_called_miou_stand_before_the_headline(tmp_path, capsys):
    assert told(tmp_path, capsys) == [
        "scored at 1280×720; void truth is ignored, a void prediction is a miss: void_rate 0.035",
        "miou_present 0.515 (12 of 15 classes have truth)  miou_image 0.350 (each frame by itself; the worst 5 %: 0.210)  safe_miou 0.310",
        "miou at coarser levels: idd_level2 0.440  idd_level1 0.580",
        "IDD's own script prints, faults included: level3 nan  level2 0.450  level1 0.600",
        "val: miou 0.410 [0.300, 0.500]  fwiou 0.520  accuracy 0.624",
    ]


def test_what_a_label_space_does_not_have_is_not_spoken_of(tmp_path, capsys):
    lines = told(tmp_path, capsys, policy={"resolution": None}, safe_miou=None, levels=None, autonue_compat=None)
    assert lines[0].startswith("scored at the frames' own sizes; ")
    assert len(lines) == 3
    assert lines[1].endswith("the worst 5 %: 0.210)")


@pytest.mark.parametrize(
    "changes", [{"accuracy": None}, {"task": "classification", "f1_macro": 0.5, "f1_weighted": 0.5}]
)
def test_images_and_what_has_no_truth_have_none_of_it(tmp_path, capsys, changes):
    (line,) = told(tmp_path, capsys, **changes)
    assert line.startswith("val: ")
