"""What is refused of a network before its training."""

import pytest
from torch import nn
from torchvision.models import resnet18

from entry.builders.training_network import frozen_encoder, prepare_training
from lightning_modules.errors import NetworkError
from tests.entry.config.test_resolve import request, resolved


@pytest.fixture
def settings(tmp_path):
    """A function from what is typed to settings."""
    return lambda *typed: resolved(request(tmp_path, *typed))


def test_a_network_without_blocks_cannot_be_checkpointed(settings):
    with pytest.raises(NetworkError, match=r"gradient_checkpointing=true: Linear has no blocks"):
        prepare_training(nn.Linear(2, 2), settings("trainer.gradient_checkpointing=true"))


def test_both_ways_to_save_memory_at_once_are_refused(settings):
    with pytest.raises(NetworkError, match=r"torch\.compile decides by itself"):
        prepare_training(resnet18(), settings("trainer.gradient_checkpointing=true", "trainer.compile=true"))


def test_an_encoder_is_looked_for_before_the_training(settings):
    prepare_training(resnet18(), settings("model.freeze_epochs=2"))
    with pytest.raises(NetworkError, match=r"model\.freeze_epochs: Linear has no pretrained encoder"):
        prepare_training(nn.Linear(2, 2), settings("model.freeze_epochs=2"))
    network = resnet18()
    assert network.fc not in frozen_encoder(2).find(network)
    assert network.layer1 in frozen_encoder(2).find(network)
