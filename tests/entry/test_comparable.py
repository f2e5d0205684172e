import json

import numpy as np
import pytest

from entry.comparable import check_comparable, choose_split, evaluated_splits, read_evaluations, run_folders
from entry.errors import RequestError
from run_files import read_json
from run_folder import RunFolderError
from tests.compared import CLASSES, DRIVES, write_masks, write_run

SWAPPED = np.array([1, 0, 2, 3])  # other classes of truth and prediction, and the same accuracy


def refusal(*runs, split="test", allowed=()):
    with pytest.raises(RequestError) as error:
        check_comparable(read_evaluations(runs, split), allowed)
    return str(error.value)


def with_policy(run, **changes):
    file = next(run.glob("evaluation/*/scores.json"))
    scores = read_json(file)
    scores["policy"] |= changes
    file.write_text(json.dumps(scores))
    return run


@pytest.fixture
def first(tmp_path):
    return write_run(tmp_path / "a", 0.9)


def test_what_is_read_is_the_evaluation(first, tmp_path):
    masks = write_masks(tmp_path / "m", 0.8)
    for run, split in ((first, "test"), (masks, "val")):
        (found,) = read_evaluations([run], split)
        scores = read_json(run / "evaluation" / split / "scores.json")
        assert found.classes == list(CLASSES)
        assert found.sums.shape == (DRIVES, 3, 3)
        for kind, key in ((1, "support"), (2, "predicted")):
            assert found.sums.sum(0)[kind].tolist() == [row[key] for row in scores["classes"]]
        assert found.sums[:, 0].sum() / found.sums[:, 1].sum() == pytest.approx(scores["accuracy"])


def test_equal_runs_can_be_compared(first, tmp_path):
    assert check_comparable(read_evaluations([first, write_run(tmp_path / "b", 0.5)], "test"), []) == []


def test_other_samples_are_refused(first, tmp_path):
    message = refusal(first, write_run(tmp_path / "b", 0.9, samples=slice(12, None)))
    assert "a and b: scored on different samples, 120 and 108, of which 108 are the same" in message
    assert "such as drive00/0.png in one only" in message


def test_other_rules_of_scoring_are_refused_unless_they_are_allowed_to_differ(first, tmp_path):
    other = with_policy(write_run(tmp_path / "b", 0.9), resolution=[96, 96], looks={"flip": True})
    message = refusal(first, other)
    assert "scored by different policies, resolution [64,64] and [96,96], looks {flip:false} and {flip:true}" in message
    assert "type allow_different=[resolution,looks]" in message
    assert "looks" not in refusal(first, other, allowed=["looks"])
    notes = check_comparable(read_evaluations([first, other], "test"), ["looks", "resolution"])
    assert notes[0] == "b was scored with another resolution ([96,96]) than a ([64,64])."
    without = with_policy(write_run(tmp_path / "c", 0.9), void_prediction="ignored")
    assert refusal(first, without).endswith("policies, void_prediction miss and ignored.")  # nothing to type


def test_looks_that_are_unknown_are_no_difference(first, tmp_path):
    assert check_comparable(read_evaluations([first, with_policy(write_run(tmp_path / "b", 0.9), looks=None)], "test"), [])  # fmt: skip


def test_other_tasks_classes_drives_and_truth_are_refused(first, tmp_path):
    segmenter = with_policy(write_masks(tmp_path / "m", 0.8))
    (segmenter / "evaluation/val").rename(segmenter / "evaluation/test")
    assert "different tasks, classification and segmentation" in refusal(first, segmenter)
    classes = read_json(first / "evaluation/test/scores.json")["classes"]
    other = write_run(tmp_path / "b", 0.9, scores={"classes": [{**row, "name": row["name"] + "s"} for row in classes]})
    assert "different classes, toy (3) and toy (3)" in refusal(first, other)
    for name, column, change, message in (
        ("c", "group", lambda values: np.roll(values, 1), "the same samples belong to different drives"),
        ("d", "cell", lambda values: SWAPPED[values // 4] * 4 + SWAPPED[values % 4], "scored by different truth, in "),
    ):
        file = write_run(tmp_path / name, 0.9) / "evaluation/test/per_sample.npz"
        with np.load(file) as content:
            columns = dict(content)
        np.savez(file, **{**columns, column: change(columns[column])})
        assert message in refusal(first, tmp_path / name)


def test_all_that_differs_is_listed(first, tmp_path):
    runs = [write_run(tmp_path / name, 0.9, samples=slice(0, 60)) for name in "bc"]
    assert refusal(first, *runs).count("different samples") == 2


def test_damaged_and_unscored_evaluations_are_named(first, tmp_path):
    (write_run(tmp_path / "b", 0.9) / "evaluation/test/per_sample.npz").write_bytes(b"PK")
    with pytest.raises(RunFolderError, match=r"b/evaluation/test/per_sample\.npz is damaged"):
        read_evaluations([first, tmp_path / "b"], "test")
    with pytest.raises(RequestError, match="has no scores, as its samples have no truth"):
        read_evaluations([write_run(tmp_path / "c", 0.9, scores={"accuracy": None})], "test")
    (first / "evaluation/test/scores.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"scores\.json is damaged"):
        read_evaluations([first], "test")


def test_scores_that_do_not_follow_from_the_counts_are_refused(tmp_path):
    accuracy = read_json(write_run(tmp_path / "a", 0.9) / "evaluation/test/scores.json")["accuracy"]
    changed = write_run(tmp_path / "b", 0.9, scores={"accuracy": accuracy + 1e-6})
    with pytest.raises(RequestError, match=r"b/evaluation/test: scores\.json has an accuracy that does not follow"):
        read_evaluations([changed], "test")


def test_the_split_is_one_that_all_have(first, tmp_path):
    both = write_run(tmp_path / "b", 0.9)
    write_run(tmp_path / "c", 0.8, split="val")
    (tmp_path / "c/evaluation/val").rename(both / "evaluation/val")
    assert evaluated_splits(both) == ["test", "val"]
    assert choose_split([first, both], None) == "test"
    with pytest.raises(RequestError, match=f"{first} has test. Type: python evaluate.py run={first} split=val"):
        choose_split([first, both], "val")


def test_folders(first, tmp_path, capsys):
    for i in (10, 9):
        write_run(tmp_path / f"sweep/{i}", 0.9)
    (tmp_path / "sweep/11").mkdir()
    (tmp_path / "sweep/11/config.yaml").touch()
    assert run_folders([str(first), str(tmp_path / "sweep")]) == [first, tmp_path / "sweep/9", tmp_path / "sweep/10"]
    assert "left out, without an evaluation: 11" in capsys.readouterr().out
    with pytest.raises(RequestError) as error:
        run_folders([str(first), str(first), str(tmp_path / "x"), str(first / "config.yaml")])
    assert len(str(error.value).splitlines()) == 3
