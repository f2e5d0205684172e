import pytest

from settings.evaluation import EvaluationSettings


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ({"window": [512, 100]}, (342, 67)),  # two thirds, rounded up
        ({"window": [512, 100], "stride": [512, 1]}, (512, 1)),
    ],
)
def test_windows_advance_by_two_thirds_unless_a_stride_is_given(keys, steps):
    assert EvaluationSettings(**keys).steps == steps


def test_the_default_is_one_plain_view():
    assert EvaluationSettings().model_dump() == {"flip": False, "scales": [1.0], "window": None, "stride": None}
