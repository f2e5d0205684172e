import pytest

from metrics.comparison import Difference
from reports.comparison import Comparison, Pair, Recipe, csv_rows, described, latex, sentences, table

CLASSES = ["road", "100 % {sky}_~^\\&$#"]


def recipe(name, miou, interval=(0.4, 0.6)):
    rows = [{"name": CLASSES[0], "iou": miou}, {"name": CLASSES[1], "iou": None}]
    return Recipe(name, [{"miou": miou, "classes": rows}], {"miou": (miou, interval)})


def difference(**changes):
    return Difference(**{"score": "miou", "class_index": None, "value": 0.026, "interval": (0.02, 0.032), "p": 0.0001, "detectable": 0.01, **changes})  # fmt: skip


def comparison(*differences, names=("a", "b")):
    return Comparison("val", 204, 61, CLASSES, [recipe(names[0], 0.5), recipe(names[1], 0.4, None)], [Pair(0, 1, differences)], [])  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "a is better than b in miou: +0.026 [+0.020, +0.032], p < 0.001."),
        ({"value": -0.026, "interval": (-0.032, -0.02), "p": 0.0123}, "a is worse than b in miou: -0.026 [-0.032, -0.020], p = 0.012."),
        ({"value": 0.005, "p": 0.21, "class_index": 0, "score": "iou"},
         "No difference is shown between a and b in iou.road: +0.005 [+0.020, +0.032], p = 0.210; one of 0.010 would have been seen in nine of ten cases."),
        ({"value": 0.0, "interval": (0.0, 0.0), "p": 1.0, "detectable": None}, "No difference is shown between a and b in miou: +0.000 [+0.000, +0.000], p = 1.000."),
        ({"seeds": (3, 1), "p": None, "interval": None}, "a and b cannot be told apart in miou (+0.026): recipes need 5 seeds a side, and have 3 and 1."),
        ({"value": None, "interval": None, "p": None}, "miou of a or b is undefined."),
        ({"interval": None, "p": None}, "Whether a and b differ in miou (+0.026) cannot be estimated: that needs two drives with truth."),
    ],
)  # fmt: skip
def test_a_difference_is_a_plain_sentence(changes, sentence):
    found = comparison(difference(**changes))
    assert described(found, found.pairs[0], found.pairs[0].differences[0]) == sentence


def test_of_the_classes_only_those_that_differ_are_named():
    small, large, none = (difference(score="iou", class_index=i, value=value, p=p) for i, value, p in ((0, 0.1, 0.01), (1, -0.3, 0.01), (0, 0.2, 0.6)))  # fmt: skip
    lines = sentences(comparison(difference(), small, large, none))
    assert [line.split(" in ")[1].split(":")[0] for line in lines] == ["miou", f"iou.{CLASSES[1]}", "iou.road"]
    assert sentences(comparison(*[small] * 9))[-1].startswith("3 more classes differ")


def test_the_table_of_scores():
    assert table(comparison(difference(), names=("a", "a longer name"))) == [
        "val (204 samples, 61 drives)  miou",
        "a                             0.500 [0.400, 0.600]",
        "a longer name                 0.400",
    ]


def test_rows_of_scores_and_of_differences():
    first, second, third = csv_rows(comparison(difference(score="iou", class_index=1)))
    assert first == {"first": "a", "score": "miou", "value": 0.5, "low": 0.4, "high": 0.6}
    assert second == {"first": "b", "score": "miou", "value": 0.4, "low": None, "high": None}
    assert third == {"first": "a", "second": "b", "score": "iou", "class": CLASSES[1], "value": 0.026, "low": 0.02, "high": 0.032, "p": 0.0001, "detectable": 0.01, "verdict": "better"}  # fmt: skip


def test_latex_escapes_names():
    text = latex(comparison(difference(), difference(value=None, p=None), names=(CLASSES[1], "b")))
    assert (
        r"100 \% \{sky\}\_\textasciitilde{}\textasciicircum{}\textbackslash{}\&\$\# & 0.500 [0.400, 0.600] \\" in text
    )
    assert r" & b & miou & 0.026 [0.020, 0.032] & p < 0.001 & better \\" in text
    assert " & undefined &  & undefined" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2


def test_scores_of_a_recipe_are_means_over_its_seeds():
    one, two = ({"miou": value, "classes": [{"name": "road", "iou": value / 2}]} for value in (0.4, 0.6))
    both = Recipe("a", [one, two], {})
    assert both.value("miou") == pytest.approx(0.5)
    assert both.value("iou", "road") == pytest.approx(0.25)
    assert Recipe("a", [one, {**two, "miou": None}], {}).value("miou") is None
