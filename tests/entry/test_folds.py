"""The result of a cross-validation, against sklearn's scores of all out-of-fold predictions."""

import csv
import shutil
import statistics

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score

from entry.errors import RequestError
from entry.folds import pool
from metrics.intervals import jackknife_intervals, sum_by_group
from run_files import read_json
from run_folder import write_csv, write_json
from tests.compared import CLASSES, DRIVES, FRAMES, GROUPS, NAMES, TARGET, predicted, write_run

FOLDS = 4
OF_FOLD = np.repeat(np.arange(DRIVES) % FOLDS, FRAMES)  # whole drives
RIGHT = (0.9, 0.6, 0.8, 0.7)


def write_fold(folder, fold, *overrides, folds=FOLDS, members=None, scores=None):
    """The run of a fold, whose model is right as often as RIGHT has it."""
    members = np.flatnonzero(fold == OF_FOLD) if members is None else members
    typed = [f"data.folds={folds}", f"data.fold={fold}", *overrides]
    run = write_run(folder, RIGHT[fold], fold, *typed, samples=members, scores=scores)
    rows = [{"sample": NAMES[i], "group": GROUPS[i], "target": CLASSES[TARGET[i]], "split": "test" if i in members else "train"} for i in range(len(NAMES))]  # fmt: skip
    write_csv(run / "split.csv", sorted(rows, key=lambda row: row["sample"]))
    write_json(run / "evaluation/test/status.json", {"state": "finished"})
    trained = np.bincount(np.delete(TARGET, members), minlength=3).tolist()
    write_csv(run / "evaluation/test/class_counts.csv", [{"name": name, "train": n} for name, n in zip(CLASSES, trained, strict=True)])  # fmt: skip
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return [write_fold(tmp_path_factory.mktemp("sweep") / str(fold), fold) for fold in range(FOLDS)]


def out_of_fold():
    return np.choose(OF_FOLD, [predicted(right, fold + round(1000 * right)) for fold, right in enumerate(RIGHT)])


def matrix(folder):
    with (folder / "confusion.csv").open(newline="") as file:
        return np.array([row[1:] for row in [*csv.reader(file)][1:]], dtype=int)


def test_the_result_is_that_of_the_pooled_matrix(made, tmp_path):
    scores = pool([made[2], made[0], made[3], made[1]], out=tmp_path / "pooled")
    assert scores == read_json(tmp_path / "pooled/scores.json")
    prediction = out_of_fold()
    pooled = matrix(tmp_path / "pooled")
    np.testing.assert_array_equal(pooled, sum(matrix(run / "evaluation/test") for run in made))
    np.testing.assert_array_equal(pooled[:-1, :-1], confusion_matrix(TARGET, prediction))
    assert scores["f1_macro"] == pytest.approx(f1_score(TARGET, prediction, average="macro"))
    assert scores["accuracy"] == pytest.approx((prediction == TARGET).mean())
    assert scores["n_unique"] == scores["n_seen"] == scores["n_expected"] == len(NAMES)
    with np.load(tmp_path / "pooled/per_sample.npz") as file:
        assert file["sample"].tolist() == sorted(NAMES)
        place = np.argsort(NAMES)
        np.testing.assert_array_equal(file["prediction"], prediction[place])
        np.testing.assert_array_equal(file["group"], GROUPS[place])


def test_the_interval_is_that_of_all_drives_together(made, tmp_path):
    scores = pool(made, out=tmp_path / "pooled")
    whole = np.zeros((len(NAMES), 16), dtype=np.int64)
    whole[np.arange(len(NAMES)), TARGET * 4 + out_of_fold()] = 1
    from scipy.sparse import csr_array

    expected = jackknife_intervals(sum_by_group(csr_array(whole), GROUPS))
    assert scores["intervals"].keys() == expected.keys()
    for name, interval in expected.items():
        assert scores["intervals"][name] == pytest.approx(interval), name
    mean = statistics.mean(scores["folds"]["scores"]["f1_macro"])
    assert abs(mean - scores["f1_macro"]) > 1e-4  # not what is given as the result


def test_the_spread_of_the_folds_is_a_standard_deviation(made, tmp_path):
    found = pool(made, out=tmp_path / "pooled")["folds"]
    each = [read_json(run / "evaluation/test/scores.json") for run in made]
    assert (found["n"], found["runs"]) == (FOLDS, ["0", "1", "2", "3"])
    for name in ("accuracy", "f1_macro", "f1_weighted"):
        assert found["scores"][name] == [scores[name] for scores in each]
        assert found["sd"][name] == pytest.approx(statistics.stdev(found["scores"][name]))
    assert "miou_image" not in found["scores"]
    assert "intervals" not in found


def test_the_baseline_predicts_the_commonest_class_of_each_folds_training(made, tmp_path):
    majority = np.array([np.bincount(TARGET[fold != OF_FOLD]).argmax() for fold in OF_FOLD])
    scores = pool(made, out=tmp_path / "pooled")
    assert scores["baselines"]["majority"]["accuracy"] == pytest.approx((majority == TARGET).mean())
    assert scores["baselines"]["majority"]["f1_macro"] == pytest.approx(f1_score(TARGET, majority, average="macro"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs, _: runs.pop(), r"Of data\.folds=4 there is no run of data\.fold=3, and the result"),
        (lambda runs, place: runs.append(shutil.copytree(runs[1], place / "again")), r"data\.fold=1 is there twice: .*1 and .*again"),
        (lambda runs, place: runs.append(write_run(place / "x", 0.9)), "x is no fold of a cross-validation"),
        (lambda runs, place: runs.__setitem__(2, write_fold(place / "2", 2, "optimizer.lr=0.5", "seed=3")), r"they differ in optimizer\.lr\. Folds may differ in data\.fold and seed"),
        (lambda runs, place: runs.__setitem__(2, write_fold(place / "2", 2, members=np.flatnonzero((OF_FOLD == 2) | (OF_FOLD == 1)))), "30 samples are tested in several folds"),
        (lambda runs, place: runs.__setitem__(2, write_fold(place / "2", 2, members=np.flatnonzero(OF_FOLD == 2)[1:])), "1 samples are tested in no fold: drive02/12.png"),
        (lambda runs, place: runs.__setitem__(2, write_fold(place / "2", 2, scores={"n_expected": 31})), "2: 30 of 31 samples of test are scored"),
        (lambda runs, place: runs.__setitem__(2, write_fold(place / "2", 2, scores={"policy": {}})), "in other classes or by another policy"),
    ],
)  # fmt: skip
def test_what_is_no_cross_validation_is_refused(made, tmp_path, change, words):
    runs = list(made)
    change(runs, tmp_path)
    with pytest.raises(RequestError, match=words):
        pool(runs, out=tmp_path / "pooled")
    assert not (tmp_path / "pooled").exists()


def test_other_samples_and_a_missing_evaluation_are_refused(made, tmp_path):
    runs = [shutil.copytree(run, tmp_path / run.name) for run in made]
    file = runs[1] / "split.csv"
    file.write_text(file.read_text().replace("drive03", "drive99"))
    with pytest.raises(RequestError, match="were trained on other samples"):
        pool(runs, out=tmp_path / "pooled")
    shutil.rmtree(runs[1] / "evaluation")
    with pytest.raises(
        RequestError, match=r"1 has no evaluation of test\. Type: python evaluate\.py run=.* split=test"
    ):
        pool(runs, out=tmp_path / "pooled")


def test_seeds_may_differ_and_an_older_result_is_replaced(made, tmp_path):
    out = tmp_path / "pooled"
    pool(made, out=out)
    (out / "old").touch()
    other = write_fold(tmp_path / "1", 1, "seed=7")
    pool([made[0], other, *made[2:]], out=out)
    assert not (out / "old").exists()


@pytest.mark.slow
def test_masks_are_trained_tested_and_pooled_as_typed(run_command, mask_folder, tmp_path):
    keys = ("model=deeplabv3_mobilenet_v3_large", "model.weights=none", "data=mask_folder", "data.classes=[sky,road,car]", f"data.root={mask_folder}", "trainer=cpu",
            "trainer.threads=1", "logger=csv", "data.num_workers=0", "data.image_size=[32,48]", "data.batch_size=4", "trainer.max_epochs=1", "data.folds=3")  # fmt: skip
    answers = [run_command("train", *keys, f"data.fold={fold}") for fold in range(3)]
    assert [answer.code for answer in answers] == [0, 0, 0], answers[0].err
    runs = [tmp_path / answer.folder for answer in answers]
    again = run_command("evaluate", f"run={runs[1]}", "data.fold=0")
    assert "data.fold is ignored with run=: the split is the run's own split.csv" in again.out
    scores = pool(runs, out=tmp_path / "pooled")
    pooled = matrix(tmp_path / "pooled")
    np.testing.assert_array_equal(pooled, sum(matrix(run / "evaluation/test") for run in runs))
    truth, guess = (np.repeat(grid.ravel(), pooled.ravel()) for grid in np.indices(pooled.shape))
    ious = jaccard_score(truth[truth < 3], guess[truth < 3], labels=range(3), average=None, zero_division=0)
    assert [each["iou"] or 0 for each in scores["classes"]] == pytest.approx(ious)
    assert (scores["n_seen"], scores["folds"]["n"], len(scores["folds"]["scores"]["miou"])) == (20, 3, 3)
    with np.load(tmp_path / "pooled/per_sample.npz") as file:
        assert file["sample"].tolist() == [f"images/{i:02}.png" for i in range(20)]
    loss = sum(
        read_json(run / "evaluation/test/scores.json")["loss"] * matrix(run / "evaluation/test")[:-1].sum()
        for run in runs
    )
    assert scores["loss"] == pytest.approx(loss / pooled[:-1].sum())
    refused = run_command("train", f"resume={runs[0]}", "data.fold=1", "trainer.max_epochs=2")
    assert (refused.code, "data.fold: the run has its split" in refused.err) == (2, True)
