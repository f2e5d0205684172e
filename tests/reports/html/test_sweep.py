import pytest

from reports.html.charts import BOTTOM, HEIGHT, POINT
from reports.html.sweep import (  # fmt: skip
    Job,
    Search,
    curves,
    differing,
    groups,
    key_chart,
    listed,
    page,
    pruning,
    timeline,
    trial_charts,
)
from tests.reports.html.conftest import AWKWARD, Page

COMMANDS = {"repeat": "python train.py -m seed=1,2"}


def job(number, score=None, state="finished", **facts):
    overrides = facts.pop("overrides", {"optimizer.lr": f"{10.0**-number:g}"})
    facts.setdefault("epoch", None if score is None else 1)
    rows = [] if score is None else [{"epoch": "0", "val/f1_macro": str(score), "val/loss": "1.5", "train/loss": "nan"}]
    return Job(number, state, overrides, **{"headline": "f1_macro", "history": rows, "score": score, "files": {"folder": str(number)}, **facts})  # fmt: skip


def test_the_table_has_the_numbers_of_the_jobs_the_best_first_and_those_without_a_score_last():
    jobs = [
        job(1, 0.5, seconds=3.0),
        job(2, 0.75, train_score=0.875, seconds=61.5),
        job(3, state="failed", note="nan"),
        job(4, 0.0),
    ]
    found = Page(page("runs/s", COMMANDS, jobs, None))
    head, *rows = found.tables["job-table"]
    assert [text.strip() for text in head] == ["job", "validation f1_macro", "optimizer.lr", "state", "epochs", "best epoch", "train f1_macro", "time"]  # fmt: skip
    assert rows == [
        ["2", "0.75", "0.01", "finished", "1", "1", "0.875", "61.5"],
        ["1", "0.5", "0.1", "finished", "1", "1", "", "3.0"],
        ["4", "0.0", "0.0001", "finished", "1", "1", "", ""],
        ["3", "", "0.001", "failed", "", "", "", ""],
    ]  # fmt: skip
    assert (
        "Best of 3 by its validation score; a maximum of 3 is optimistic, so no interval stands beside it" in found.text
    )
    assert "3 finished, 1 failed" in found.text


def test_pruned_jobs_are_in_the_table_but_never_the_best():
    found = Page(page("s", COMMANDS, [job(1, 0.9, "pruned", most_epochs=4), job(2, 0.4)], None))
    assert [row[0] for row in found.tables["job-table"][1:]] == ["1", "2"]
    assert "0.400 f1_macro on validation" in found.text
    assert "Best of 2, of which 1 was pruned, by its validation score" in found.text
    assert "Best of" not in page("s", COMMANDS, [job(2, 0.4), job(3, state="failed")], None)


@pytest.mark.parametrize(
    "jobs",
    [[], [job(0, state="waiting", files={}, overrides={})], [job(0, state="failed")], [job(0, state="running", span=(5.0, 5.0)), job(1, 0.4, "running")]],
)  # fmt: skip
def test_there_is_a_page_where_no_job_has_finished(jobs):
    found = Page(page("s", COMMANDS, jobs, None))
    assert len(found.tables["job-table"]) == 1 + len(jobs)
    assert "The best job" not in found.text


def test_what_users_typed_is_shown_and_not_run():
    jobs = [
        job(i, 0.1 * i, overrides={"data.name": name, AWKWARD: "1"}, note=AWKWARD)
        for i, name in enumerate([AWKWARD, "b"])
    ]
    text = page(AWKWARD, {"repeat": AWKWARD}, [*jobs, job(2, overrides={"data.name": AWKWARD})], Search(note=AWKWARD))
    found = Page(text)
    assert AWKWARD not in text
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert found.text.count(AWKWARD) > 8
    assert not any(name == "style" or name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_only_keys_that_differ_are_shown_and_one_that_was_not_typed_differs():
    jobs = [job(i, overrides=typed) for i, typed in enumerate([{"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"a": "1", "b": "2", "c": "x"}])]  # fmt: skip
    assert differing(jobs) == ["b", "c"]
    assert (listed(jobs, "b"), listed(jobs, "c")) == ("2, 3", "not set, x")
    many = [job(i, overrides={"lr": f"{i}e-3", "name": f"n{i}"}) for i in range(1, 21)]
    assert listed(many, "lr") == "0.001 to 0.02 (20 values)"
    assert listed(many, "name").endswith("n12 and 8 more")


def seeded(lr, scores):
    return [job(10 * lr + i, score, overrides={"lr": str(lr), "seed": str(i)}) for i, score in enumerate(scores)]


def test_groups_of_seeds_are_ranked_by_their_mean_with_the_deviation_of_single_seeds():
    found = groups(
        [*seeded(1, [0.9, 0.1]), *seeded(2, [0.6, 0.7, 0.8]), job(99, 0.65, overrides={"lr": "3", "seed": "0"})]
    )
    rows = [(row["settings"]["lr"], row["mean"], row["sd"], len(row["jobs"])) for row in found["rows"]]
    assert rows == [
        ("2", pytest.approx(0.7), pytest.approx(0.1), 3),
        ("3", 0.65, None, 1),
        ("1", 0.5, pytest.approx(0.8 / 2**0.5), 2),
    ]
    assert found["p"] is None
    assert groups([job(1, 0.5), job(2, 0.6)]) == {"rows": [], "p": None}


def test_two_groups_of_five_seeds_are_told_apart_by_a_permutation_test():
    low, high = [0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.7, 0.8, 0.9, 1.0]
    assert groups([*seeded(1, low), *seeded(2, high)])["p"] == pytest.approx(
        2 / 252
    )  # of the 252 ways the two most extreme
    assert groups([*seeded(1, low[:4]), *seeded(2, high)])["p"] is None
    text = Page(page("s", COMMANDS, [*seeded(1, low), *seeded(2, high)], None)).text
    assert "more than chance (p 0.008" in text
    few = Page(page("s", COMMANDS, [*seeded(1, low[:3]), *seeded(2, high[:3])], None)).text
    assert "cannot be told apart: one of them has 3 seeds" in " ".join(few.split())


def test_folds_are_one_result():
    jobs = [job(i, 0.5 + 0.1 * i, overrides={"data.fold": str(i)}) for i in range(5)]
    text = " ".join(Page(page("s", COMMANDS, jobs, None)).text.split())
    assert "0.700 f1_macro on validation, the mean of 5 folds" in text
    assert "Best of" not in text


def test_numbers_are_scattered_on_a_logarithmic_axis_from_two_decades_on():
    bottom = HEIGHT - BOTTOM - POINT
    chart = key_chart(
        [job(1, 0.2), job(2, 0.4, "pruned"), job(3, 0.3), job(4, state="failed"), job(5, state="refused")],
        "optimizer.lr",
    )
    drawn = chart["drawn"]
    assert drawn["marks"] == [
        ("spot", "job 1: 0.200"),
        ("seed", "job 2: 0.400"),
        ("spot", "job 3: 0.300"),
        ("cross", "job 4: failed"),
    ]
    xs = [x for x, _ in drawn["points"]]
    assert xs[2] - xs[1] == pytest.approx(xs[1] - xs[0], abs=0.2)  # decades are equally far apart
    assert drawn["points"][3][1] == drawn["points"][0][1] == bottom
    near = key_chart([job(i, 0.2, overrides={"lr": str(i)}) for i in (1, 2, 4)], "lr")["drawn"]["points"]
    assert near[2][0] - near[1][0] == pytest.approx(2 * (near[1][0] - near[0][0]), abs=0.2)


def test_other_values_have_a_strip_each():
    typed = ["resnet18", "custom_cnn", "resnet18", None]
    jobs = [job(i, 0.1 * i, overrides={"model": name} if name else {}) for i, name in enumerate(typed)]
    chart = key_chart(jobs, "model")
    assert [(name, [mark for _, mark in places]) for name, places in chart["strips"]] == [
        ("resnet18", [("spot", "job 0: 0.000"), ("spot", "job 2: 0.200")]),
        ("custom_cnn", [("spot", "job 1: 0.100")]),
        ("not set", [("spot", "job 3: 0.300")]),
    ]
    assert key_chart([job(i, 0.5, overrides={"name": f"n{i}"}) for i in range(15)], "name")["left_out"] == 3


def test_curves_are_those_of_the_best_twenty_and_the_first_have_a_style_of_their_own():
    jobs = [job(i, 1 - 0.01 * i) for i in range(30)]
    found = curves(jobs)
    assert [each.number for each in found["jobs"]] == [*range(20)]
    lines = dict(found["charts"])["validation f1_macro"]["lines"]
    assert [(line["label"], line["style"]) for line in lines[-6:]] == [
        ("job 5", "-rest"),
        *((f"job {i}", i) for i in (4, 3, 2, 1, 0)),
    ]
    assert curves([job(0, state="waiting")])["charts"] == []


def test_jobs_that_ran_elsewhere_have_no_slots():
    assert timeline([job(number, 0.5, span=(0.0, 10.0), slot=None) for number in range(2)]) == {"slots": {}}


def test_the_timeline_leaves_out_pauses_and_has_the_idle_share():
    spans = {0: (0, 1000, 1060), 1: (1, 1000, 1030), 2: (1, 1040, 1060), 3: (0, 9000, 9040)}
    jobs = [job(number, 0.5, span=(began, ended), slot=slot) for number, (slot, began, ended) in spans.items()]
    found = timeline([*jobs, job(9, state="waiting")])
    assert found["seconds"] == 100  # a minute, and 40 seconds after the pause
    assert found["idle"] == pytest.approx(1 - (60 + 30 + 20 + 40) / 200)
    assert [[each.number for _, _, each in bars] for bars in found["slots"].values()] == [[0, 3], [1, 2]]
    assert [(x, width) for x, width, _ in found["slots"][1]] == [(70.0, 270.0), (430.0, 180.0)]
    assert timeline([job(0, span=(5.0, 5.0))])["slots"] == {}


def test_a_search_has_the_best_so_far_its_front_and_its_importances():
    values = {0: (0.5, 9.0), 1: (0.4, 8.0), 2: (0.7, 9.5)}
    search = Search(
        "", ["f1_macro", "seconds"], [False, True], values, [0, 1, 2], {"f1_macro": {"optimizer.lr": 0.9, "model": 0.1}}
    )
    charts = dict(trial_charts(search))
    assert [y for _, y in charts["f1_macro"]["line"]] == [charts["f1_macro"]["points"][i][1] for i in (0, 0, 0, 0, 2)]
    assert [y for _, y in charts["seconds"]["line"]] == [charts["seconds"]["points"][i][1] for i in (0, 0, 1, 1, 1)]
    found = Page(page("s", COMMANDS, [job(i, score) for i, (score, _) in values.items()], search))
    assert [row[:3] for row in found.tables["front-table"][1:]] == [
        ["2", "0.7", "9.5"],
        ["0", "0.5", "9.0"],
        ["1", "0.4", "8.0"],
    ]
    assert found.tables["importance-1"][1:] == [["optimizer.lr", "0.9"], ["model", "0.1"]]


@pytest.mark.parametrize(
    ("search", "text"),
    [
        (Search("", ["f1_macro"], [False]), "No trial has finished yet"),
        (Search("", ["f1_macro"], [False], {0: (0.5,)}), "from ten finished trials on; there is 1."),
        (
            Search("", ["f1_macro"], [False], {0: (0.5,), 1: (0.5,)}, [], {"f1_macro": {}}),
            "No parameter has an importance",
        ),
    ],
)
def test_a_search_says_why_it_has_no_importance(search, text):
    assert text in Page(page("s", COMMANDS, [job(0, 0.5), job(1, 0.5)], search)).text


def test_epochs_that_pruning_saved():
    row = {"epoch": "0", "val/f1_macro": "0.5"}
    jobs = [job(0, 0.5, history=[row] * 10), job(1, 0.5, "pruned", history=[row] * 3, most_epochs=10), job(2, 0.5, "pruned", history=[row], most_epochs=10)]  # fmt: skip
    assert pruning(jobs) == {"jobs": 2, "saved": 16, "trained": 14}
    text = Page(page("s", COMMANDS, jobs, Search("", ["f1_macro"], [False], {0: (0.5,)}))).text
    assert "Pruning ended 2 jobs early and saved 16 of 30 epochs (53 %)" in text


def test_numbers_that_were_drawn_are_shown_short_and_sorted_as_they_are():
    text = page(
        "s",
        COMMANDS,
        [job(0, 0.5, overrides={"lr": "0.004043878009515107"}), job(1, 0.4, overrides={"lr": "1e-3"})],
        None,
    )
    assert '<td data-value="0.004043878009515107">0.004044</td>' in text
    assert "<td>1e-3</td>" in text
