import copy
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


@pytest.mark.parametrize(
    ("make", "after"),
    [
        (schedules.constant, lambda k: 1),
        (schedules.poly, lambda k: (1 - k / 16) ** 0.9),
        (schedules.cosine, lambda k: (1 + math.cos(math.pi * k / 16)) / 2),
    ],
)
@pytest.mark.parametrize("warmup", [{"warmup_steps": 4}, {"warmup_fraction": 0.2}, {"warmup_steps": 4, "warmup_fraction": 0.9}])  # fmt: skip
def test_each_schedule_may_begin_with_a_warm_up_of_steps_or_a_fraction(make, after, warmup):
    expected = [0.02, 0.04, 0.06, 0.08, *(0.1 * after(k) for k in range(16))]
    assert rates(make, 20, **warmup) == pytest.approx(expected)


def test_a_warm_up_longer_than_the_training_is_all_of_it():
    assert rates(schedules.cosine, 3, warmup_steps=9) == pytest.approx([0.01, 0.02, 0.03])


def checkpoint_of(optimizer, schedule):
    return copy.deepcopy({"optimizer_states": [optimizer.state_dict()], "lr_schedulers": [schedule.state_dict()]})


def test_new_settings_are_in_the_place_of_a_checkpoints_from_its_very_next_step():
    weight = torch.nn.Parameter(torch.ones(2))

    def made(**settings):
        optimizer = torch.optim.SGD([weight], momentum=0.9, **settings)
        return optimizer, schedules.poly(optimizer, total_steps=10, power=1)

    optimizer, schedule = made(lr=1.0)
    for _ in range(4):
        weight.grad = torch.ones(2)
        optimizer.step()
        schedule.step()
    checkpoint = checkpoint_of(optimizer, schedule)
    schedules.apply_settings(checkpoint, *made(lr=0.5, weight_decay=0.3))
    optimizer, schedule = made(lr=7.0)  # whatever it is, the checkpoint's are loaded into it
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    schedule.load_state_dict(checkpoint["lr_schedulers"][0])
    [group] = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(0.5 * 0.6), 0.3)
    assert optimizer.state[weight]["momentum_buffer"].tolist() == pytest.approx([1 + 0.9 + 0.81 + 0.729] * 2)
    schedule.step()
    assert group["lr"] == pytest.approx(0.5 * 0.5)


def test_settings_that_are_the_same_change_no_bit_and_torchs_own_schedules_are_left_alone():
    for make in (schedules.constant, lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)):
        made = [
            (each, make(each)) for each in (torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=0.3) for _ in "12")
        ]
        made[0][0].step()
        made[0][1].step()
        checkpoint = checkpoint_of(*made[0])
        schedules.apply_settings(checkpoint, *made[1])
        assert checkpoint == checkpoint_of(*made[0])
