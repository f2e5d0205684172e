import pytest
import torch
from torch import nn

from entry.build import build_optimizer


@pytest.mark.parametrize(
    ("precision", "fused"), [("auto", True), ("32-true", True), ("bf16-mixed", True), ("16-mixed", False)]
)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_step_is_fused_unless_a_loss_scaler_works_with_it(name, precision, fused):
    config = {
        "optimizer": {"_target_": f"torch.optim.{name}", "_partial_": True, "lr": 0.5, "fused": True},
        "trainer": {"precision": precision},
    }
    optimizer = build_optimizer(config)(nn.Linear(2, 1).parameters())
    assert type(optimizer) is getattr(torch.optim, name)
    assert (optimizer.defaults["lr"], optimizer.defaults["fused"]) == (0.5, fused)


def test_an_optimizer_that_knows_no_fused_step_is_left_alone():
    config = {
        "optimizer": {"_target_": "torch.optim.Adagrad", "_partial_": True},
        "trainer": {"precision": "16-mixed"},
    }
    assert build_optimizer(config)(nn.Linear(2, 1).parameters()).defaults["fused"] is None
