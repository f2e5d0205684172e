import pytest

from entry.errors import FAILED, RequestError, RequirementError, exit_code
from entry.requirement import Condition, check, check_names, parsed
from metrics.comparison import Difference
from reports.comparison import Comparison, Pair, Recipe

SCORES = {"schema": 1, "task": "segmentation", "miou": 0.5, "loss": 0.7, "safe_miou": None, "classes": [{"name": "a.b, c>d", "iou": 0.4, "f1": None}]}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("miou>=0.68", [("miou", True, 0.68)]),
        ("miou >= .5", [("miou", True, 0.5)]),
        ("miou>=0.68,iou.person>=0.55", [("miou", True, 0.68), ("iou.person", True, 0.55)]),
        (" miou >= 5e-1 , loss<=1, ", [("miou", True, 0.5), ("loss", False, 1.0)]),
        ("iou.traffic light, red>=0.5,f1.sky>=1", [("iou.traffic light, red", True, 0.5), ("f1.sky", True, 1.0)]),
        ("miou>0.68", None),
        ("miou=0.68", None),
        ("miou>=high", None),
        ("miou>=0.6;loss<=1", None),
        (">=0.6", None),
    ],
)
def test_conditions(text, conditions):
    if conditions is None:
        with pytest.raises(RequestError, match=r"is no condition\. Type scores with bounds"):
            parsed(text)
    else:
        assert [(each.key, each.at_least, each.bound) for each in parsed(text)] == conditions
    assert parsed(None) == []


def test_a_condition_is_written_as_it_is_typed():
    assert [str(each) for each in parsed("miou>=0.680,loss<=1")] == ["miou>=0.68", "loss<=1"]
    assert parsed("iou.a.b>=0.5")[0].score == ("iou", "a.b")


def test_names_that_do_not_exist_are_refused_together():
    with pytest.raises(RequestError) as error:
        check_names(parsed("mioo>=0.1,iou.x>=0.2,schema>=1,miou>=0.1"), SCORES)
    first, *others = str(error.value).splitlines()
    assert first == "require=mioo>=0.1: there is no such score. Did you mean miou?"
    assert len(others) == 2
    with pytest.raises(RequestError, match=r"miou>=68: scores are fractions in 0-1\. Type miou>=0\.68"):
        check_names(parsed("miou>=68,loss<=2"), SCORES)


def compared(verdict_p=0.5, value=-0.1):
    recipes = [Recipe("a", [SCORES], {"miou": (0.5, None)}), Recipe("b", [SCORES], {"miou": (0.6, None)})]
    differences = [Difference("miou", None, value, (-0.2, 0.0), verdict_p, 0.1), Difference("iou", 0, value, None, verdict_p, None)]  # fmt: skip
    return Comparison("val", 10, 5, ["a.b"], recipes, [Pair(0, 1, differences)], [])


def test_the_first_run_needs_to_have_what_is_required():
    check(parsed("miou>=0.5,loss<=0.7"), compared())
    with pytest.raises(RequirementError) as error:
        check(parsed("miou>=0.51,loss<=0.6"), compared())
    assert str(error.value).splitlines() == ["require=miou>=0.51: a has 0.5000.", "require=loss<=0.6: a has 0.7000."]
    assert exit_code(error.value) == FAILED
    with pytest.raises(RequirementError, match="safe_miou of a is undefined"):
        check([Condition("safe_miou", True, 0.1)], compared())


def test_and_must_not_be_worse_than_the_second():
    with pytest.raises(RequirementError, match=r"require: a is worse than b in miou: -0\.100"):
        check(parsed("loss<=1"), compared(0.01))
    check(parsed("loss<=1"), compared(0.01, value=0.1))
    check([], compared(0.01))  # nothing is required
