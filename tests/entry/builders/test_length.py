"""A training's length in optimiser steps: its epochs, of which the last may be shorter."""

from types import SimpleNamespace

import pytest

from entry.builders.length import check_prolonged, in_epochs, steps_of_epoch
from entry.builders.modules import total_steps
from entry.errors import RequestError
from tests.entry.config.test_resolve import request, resolved


@pytest.fixture
def settings(tmp_path):
    """A function from what is typed to settings."""
    return lambda *typed: resolved(request(tmp_path, *typed))


@pytest.mark.parametrize(
    ("per_epoch", "typed", "epochs", "last"),
    [
        (10, ["trainer.max_steps=25"], 3, 5),
        (10, ["trainer.max_steps=30"], 3, 10),
        (10, ["trainer.max_steps=3"], 1, 3),
        (10, ["trainer.max_steps=7", "trainer.limit_batches=3"], 3, 1),
        (10, ["trainer.max_steps=7", "trainer.limit_batches=5", "trainer.accumulate=2"], 3, 1),
    ],
)
def test_epochs_follow_from_steps(settings, per_epoch, typed, epochs, last):
    given, data = settings(*typed), SimpleNamespace(steps_per_epoch=per_epoch)
    found = in_epochs(given, data)
    assert found.trainer.max_epochs == epochs
    assert data.last_epoch == (epochs - 1, last)
    full = steps_of_epoch(given, data)
    assert (epochs - 1) * full + last == given.trainer.max_steps == total_steps(found, data)


def test_only_whole_epochs_can_be_prolonged(settings):
    data = SimpleNamespace(steps_per_epoch=10)
    check_prolonged(20, settings("trainer.max_steps=35"), data)
    with pytest.raises(RequestError, match=r"leave trainer\.max_steps=25; multiples of 10"):
        check_prolonged(25, settings("trainer.max_steps=35"), data)
