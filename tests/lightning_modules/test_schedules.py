import math

import pytest
import torch

from lightning_modules import schedules


def rates(make, total_steps, **settings):
    """The learning rate of each step, as training uses it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = make(optimizer, total_steps=total_steps, **settings)
    seen = []
    for _ in range(total_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize(
    ("make", "key", "wrong"),
    [
        *((schedules.cosine, "warmup_fraction", value) for value in (-1, 2, math.nan)),
        *((schedules.cosine, "final_factor", value) for value in (-1, math.inf, math.nan)),
        *((schedules.poly, "power", value) for value in (-1, math.inf, math.nan)),
    ],
)
def test_settings_that_make_no_rates_are_refused(make, key, wrong):
    with pytest.raises(ValueError, match=rf"{key}={wrong} must be"):
        rates(make, 10, **{key: wrong})


def test_constant_stays():
    assert rates(lambda optimizer, total_steps: schedules.constant(optimizer), 5) == [0.1] * 5


def test_poly_is_its_formula():
    assert rates(schedules.poly, 10, power=0.9) == pytest.approx([0.1 * (1 - k / 10) ** 0.9 for k in range(10)])


def test_cosine_is_its_formula():
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]
    assert rates(schedules.cosine, 8, final_factor=0.1) == pytest.approx(expected)


def test_cosine_warms_up_to_the_full_rate_and_ends_low():
    seen = rates(schedules.cosine, 20, warmup_fraction=0.2)
    assert seen[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert seen[4:] == sorted(seen[4:], reverse=True)
    assert seen[-1] < 0.002
