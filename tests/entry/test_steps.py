from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from entry.hardware import Hardware
from entry.steps import TrainingSteps
from lightning_modules.classification import ClassificationModule
from tests.lightning_modules.tiny import made


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_is_that_of_a_plain_loop(precision):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    plain = deepcopy(network)
    module = made(ClassificationModule, network)
    module.make_optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    steps = TrainingSteps(SimpleNamespace(module=module.train(), machine=Hardware("cpu", "cpu", precision, 1)))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for seed in range(3):
        draws = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 2, (5, 3, 6, 6), generator=draws, dtype=torch.uint8)
        target = torch.randint(0, 3, (5,), generator=draws)
        steps.train_on({"image": images, "target": target})
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            logits = plain((images.float() / 255).contiguous())
        optimizer.zero_grad()
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
    for own, expected in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, expected)
        assert own.grad is None
