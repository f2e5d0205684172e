import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from run_files import read_json
from tests.compared import CLASSES, write_masks, write_run

ROOT = Path(__file__).resolve().parents[2]


def listed(*runs):
    return f"runs=[{','.join(map(str, runs))}]"


def rows_of(folder):
    with (folder / "compare.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_two_runs(run_command, tmp_path):
    first, second = write_run(tmp_path / "a", 0.9), write_run(tmp_path / "b", 0.6)
    answer = run_command("compare", listed(first, second))
    assert answer.code == 0
    assert answer.folder.name.endswith("_compare")
    assert {path.name for path in answer.folder.iterdir()} == {"compare.csv", "compare.tex", "compare.html"}
    scores = [read_json(run / "evaluation/test/scores.json") for run in (first, second)]
    rows = rows_of(answer.folder)
    known = {(row["first"], row["second"], row["score"], row["class"]): row for row in rows}
    for name, run in zip("ab", scores, strict=True):
        row = known[name, "", "f1_macro", ""]
        assert float(row["value"]) == run["f1_macro"]
        assert [float(row["low"]), float(row["high"])] == run["intervals"]["f1_macro"]
    difference = known["a", "b", "f1_macro", ""]
    assert float(difference["value"]) == pytest.approx(scores[0]["f1_macro"] - scores[1]["f1_macro"])
    assert difference["verdict"] == "better"
    for i, name in enumerate(CLASSES):
        expected = scores[0]["classes"][i]["f1"] - scores[1]["classes"][i]["f1"]
        assert float(known["a", "b", "f1", name]["value"]) == pytest.approx(expected)
    assert "a is better than b in f1_macro: +0." in answer.out
    assert "note: b differs from a in no setting." in answer.out
    assert r"sky\_\&\_cloud" not in (answer.folder / "compare.tex").read_text()  # tables over all classes only


def test_no_difference_comes_with_what_could_have_been_seen(run_command, tmp_path):
    runs = [write_run(tmp_path / "a", 0.8, 0), write_run(tmp_path / "b", 0.8, 3, "optimizer.lr=0.1")]
    answer = run_command("compare", listed(*runs))
    assert "No difference is shown between a and b in f1_macro: " in answer.out
    assert "would have been seen in nine of ten cases" in answer.out
    assert "note: b differs from a in seed, optimizer.lr." in answer.out


def test_masks_and_any_order_of_samples(run_command, tmp_path):
    first, second = write_masks(tmp_path / "a", 0.9), write_masks(tmp_path / "b", 0.8, resolution=(4, 9))
    before = rows_of(run_command("compare", listed(first, second)).folder)
    file = second / "evaluation/val/per_sample.npz"
    with np.load(file) as columns:
        content = dict(columns)
    number = len(content["sample"])
    ends, cells = content["indptr"], content["cell"]
    pieces = [slice(ends[i], ends[i + 1]) for i in reversed(range(number))]
    content |= {"sample": content["sample"][::-1], "group": content["group"][::-1], "indptr": np.append(0, np.cumsum(np.diff(ends)[::-1]))}  # fmt: skip
    content |= {"cell": np.concatenate([cells[each] for each in pieces]), "count": np.concatenate([content["count"][each] for each in pieces])}  # fmt: skip
    np.savez_compressed(file, **content)
    assert rows_of(run_command("compare", listed(first, second)).folder) == before
    assert {row["score"] for row in before} == {"miou", "fwiou", "accuracy", "iou"}


def test_more_than_two_are_corrected_for_their_number(run_command, tmp_path):
    runs = [write_run(tmp_path / name, right, i, f"optimizer.lr=0.{i}1") for i, (name, right) in enumerate([("a", 0.8), ("b", 0.75), ("c", 0.7)])]  # fmt: skip
    pairs = {(row["first"], row["second"]): float(row["p"]) for row in rows_of(run_command("compare", listed(*runs)).folder) if row["score"] == "accuracy" and row["second"]}  # fmt: skip
    assert set(pairs) == {("a", "b"), ("a", "c"), ("b", "c")}
    alone = {}
    for i, j in ((0, 1), (0, 2), (1, 2)):
        rows = rows_of(run_command("compare", listed(runs[i], runs[j])).folder)
        alone["abc"[i], "abc"[j]] = next(
            float(row["p"]) for row in rows if row["score"] == "accuracy" and row["second"]
        )
    least = 0.0
    for rank, (pair, p) in enumerate(sorted(alone.items(), key=lambda each: each[1])):
        least = max(least, min(1, p * (3 - rank)))
        assert pairs[pair] == pytest.approx(least)


def test_seeds_are_recipes(run_command, tmp_path):
    runs = [write_run(tmp_path / f"{name}{seed}", right, seed, f"optimizer.lr={lr}") for name, right, lr in (("a", 0.9, 0.1), ("b", 0.6, 0.2)) for seed in range(5)]  # fmt: skip
    answer = run_command("compare", listed(*runs))
    rows = [row for row in rows_of(answer.folder) if row["score"] == "f1_macro"]
    names = ["a0 (5 seeds)", "b0 (5 seeds)"]
    assert [(row["first"], row["second"]) for row in rows] == [(names[0], ""), (names[1], ""), tuple(names)]
    scores = [read_json(run / "evaluation/test/scores.json")["f1_macro"] for run in runs]
    assert float(rows[0]["value"]) == pytest.approx(np.mean(scores[:5]))
    assert rows[2]["verdict"] == "better"
    few = run_command("compare", listed(*runs[:3], *runs[5:8]))
    assert "cannot be told apart in f1_macro" in few.out
    assert "recipes need 5 seeds a side, and have 3 and 3." in few.out
    # Nothing but seeds: then the runs are compared.
    same = run_command("compare", listed(*runs[:2]))
    assert {row["first"] for row in rows_of(same.folder)} == {"a0", "a1"}


def test_the_folder_of_a_sweep(run_command, tmp_path):
    for i, right in enumerate((0.9, 0.7)):
        write_run(tmp_path / f"sweep/{i}", right, i, f"optimizer.lr=0.{i}1")
    failed = tmp_path / "sweep/2"
    failed.mkdir()
    (failed / "config.yaml").write_text("seed: 0\n")  # it has no evaluation
    answer = run_command("compare", f"runs={tmp_path / 'sweep'}")
    assert answer.code == 0, answer.err
    assert {row["first"] for row in rows_of(answer.folder)} == {"0", "1"}


def test_runs_of_the_same_name_are_told_apart_by_their_folders(run_command, tmp_path):
    runs = [write_run(tmp_path / name / "0", right, 0, f"optimizer.lr={right}") for name, right in (("x", 0.9), ("y", 0.5))]  # fmt: skip
    assert {row["first"] for row in rows_of(run_command("compare", listed(*runs)).folder)} == {"x/0", "y/0"}


@pytest.mark.parametrize(
    ("condition", "code", "message"),
    [
        ("f1_macro>=0.8", 0, ""),
        ("f1_macro>=0.99", 1, "require=f1_macro>=0.99: a has 0.9"),
        ("f1.car, parked>=0.5,loss<=1.5", 0, ""),
        ("recall.person>=0.999,loss<=0.5", 1, "require=recall.person>=0.999: a has 0.9"),
        ("loss<=0.5", 1, "require=loss<=0.5: a has 1.0"),
    ],
)
def test_requirements(run_command, tmp_path, condition, code, message):
    runs = [write_run(tmp_path / "a", 0.93), write_run(tmp_path / "b", 0.6)]
    answer = run_command("compare", listed(*runs), f"require={condition}")
    assert answer.code == code, answer.err
    assert message in answer.err
    assert answer.folder.is_dir()
    alone = run_command("compare", listed(runs[0]), f"require={condition}")
    assert alone.code == code


def test_a_run_that_is_worse_does_not_pass(run_command, tmp_path):
    runs = [write_run(tmp_path / "a", 0.6), write_run(tmp_path / "b", 0.93)]
    answer = run_command("compare", listed(*runs), "require=accuracy>=0.5")
    assert answer.code == 1
    assert "require: a is worse than b in f1_macro: -0." in answer.err
    assert run_command("compare", listed(*runs)).code == 0


def test_what_makes_no_sense_is_refused(run_command, tmp_path):
    first = write_run(tmp_path / "a", 0.8)
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([], "runs is missing"),
        ([f"runs={first}"], "is one run. Type two or more"),
        ([listed(first, first)], "is named twice"),
        ([listed(first, tmp_path / "c")], "there is no such folder"),
        ([listed(first, tmp_path / "empty")], "not a run folder"),
        ([listed(first, first / "evaluation/test")], "lies in a run folder"),
        ([f"runs={first}", "require=miou"], "'miou' is no condition"),
        ([f"runs={first}", "require=f1_makro>=0.5"], "Did you mean f1_macro"),
        ([f"runs={first}", "require=iou.cat>=0.5"], "there is no such score"),
        ([f"runs={first}", "require=f1_macro>=0.5", "split=val"], f"python evaluate.py run={first} split=val"),
        ([str(first)], f"Type runs={first}"),
        ([f"run={first}"], "run is a key of evaluate.py, predict.py and export.py, not of compare.py"),
    ):
        answer = run_command("compare", *arguments)
        assert (answer.code, message in answer.err) == (2, True), answer.err
        assert not (tmp_path / "runs").exists()


def test_help_has_the_keys(run_command):
    answer = run_command("compare", "--help")
    assert answer.code == 0
    assert all(key in answer.out for key in ("runs=null", "require=null", "allow_different=[]", "split=null"))
    assert "optimizer" not in answer.out


def test_external_masks_are_compared_with_runs(run_command, tmp_path):
    ours, theirs = write_masks(tmp_path / "ours", 0.8), write_masks(tmp_path / "theirs", 0.9)
    file = ours / "evaluation/val/scores.json"
    scores = read_json(file)
    scores["policy"]["looks"] = {"flip": False}
    file.write_text(json.dumps(scores))  # masks that were made elsewhere have null
    answer = run_command("compare", listed(ours, theirs))
    assert answer.code == 0, answer.err
    assert "ours is worse than theirs in miou" in answer.out


def test_no_torch_is_imported_and_it_is_quick(tmp_path):
    runs = [write_run(tmp_path / name, right) for name, right in (("a", 0.9), ("b", 0.7))]
    code = "import sys; sys.argv = sys.argv[:1] + sys.argv[2:]; import compare\ntry: compare.compare()\nexcept SystemExit as end: print('torch' in sys.modules, end.code)"  # fmt: skip
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, "compare.py", listed(*runs), f"hydra.run.dir={tmp_path / 'out'}"], cwd=ROOT, check=False, capture_output=True, text=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False 0", done.stderr
    assert time.monotonic() - start < 30
    assert (tmp_path / "out/compare.csv").is_file()
