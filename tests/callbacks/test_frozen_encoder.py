"""An encoder that stays as it is for the first epochs."""

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from callbacks.frozen_encoder import FrozenEncoder
from tests.callbacks.tiny import trainer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 1)

    def forward(self, values):
        return self.head(self.encoder(values))


class Learner(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = Net()
        self.states, self.modes, self.needed = [], [], []

    def training_step(self, batch, index):
        self.modes.append((self.network.encoder.training, self.network.head.training))
        self.needed.append(self.network.encoder[0].weight.requires_grad)
        return (self.network(batch) - 2 * batch).square().mean()

    def on_train_epoch_end(self):
        self.states.append({name: each.clone() for name, each in self.network.state_dict().items()})

    def validation_step(self, batch, index):
        self.network(batch)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=0.1)


def fitted(tmp_path, epochs, frozen, monkeypatch=None, world=1):
    torch.manual_seed(5)
    module, data = Learner(), DataLoader(torch.linspace(-1, 1, 12).unsqueeze(1), batch_size=4)
    callback = FrozenEncoder(frozen, lambda network: [*network.encoder.modules()])
    before = {name: each.clone() for name, each in module.network.state_dict().items()}
    run = trainer(tmp_path, [callback], epochs)
    if world > 1:
        monkeypatch.setattr(type(run), "world_size", world)
    run.fit(module, data, data)
    return before, module


def changed(before, after, part):
    return [not torch.equal(before[name], after[name]) for name in before if name.startswith(part)]


@pytest.mark.parametrize("world", [1, 2])  # as on two devices, where the gradients are there and dropped
def test_weights_and_statistics_of_the_encoder_stay_for_so_many_epochs(tmp_path, monkeypatch, world):
    before, module = fitted(tmp_path, 4, 2, monkeypatch, world)
    for state in module.states[:2]:
        assert not any(changed(before, state, "encoder"))
        assert all(changed(before, state, "head"))
    assert all(changed(module.states[1], module.states[2], "encoder"))
    assert module.modes == [(False, True)] * 6 + [(True, True)] * 6
    assert module.needed == ([False] * 6 if world == 1 else [True] * 6) + [True] * 6


def test_several_devices_train_as_one(tmp_path, monkeypatch):
    _, one = fitted(tmp_path, 4, 2)
    _, two = fitted(tmp_path, 4, 2, monkeypatch, 2)
    for first, second in zip(one.states, two.states, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_module_that_holds_the_head_too_keeps_its_mode(tmp_path):
    """As a classifier of torchvision, whose encoder is all but its head."""
    module = Learner()
    callback = FrozenEncoder(1, lambda network: {*network.modules()} - {network.head})
    trainer(tmp_path, [callback], 1).fit(module, DataLoader(torch.ones(4, 1), batch_size=4))
    assert module.modes == [(False, True)]
    assert module.network.training


@pytest.mark.parametrize("fused", [False, True])
def test_momentum_begins_when_the_encoder_is_trained(tmp_path, fused):
    """As a run that begins there: torch's SGD takes the first gradient as the first momentum."""

    class Momentum(Learner):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, fused=fused)

    seen = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            weight = module.network.encoder[0].weight
            seen.append((module.optimizers().state.get(weight, {}).get("momentum_buffer"), weight.grad))
            seen[-1] = tuple(None if each is None else each.clone() for each in seen[-1])

    module, data = Momentum(), DataLoader(torch.linspace(-1, 1, 8).unsqueeze(1), batch_size=4)
    trainer(tmp_path, [FrozenEncoder(1, lambda network: [*network.encoder.modules()]), Watch()], 2).fit(module, data)
    assert [buffer is None for buffer, _ in seen] == [True, True, False, False]
    assert torch.equal(*seen[2])
