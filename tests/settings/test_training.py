import pytest

from settings.errors import SettingsError
from settings.run import validated
from settings.training import CheckpointingSettings, TrainerSettings


def test_keys_that_an_older_run_lacks_have_their_default():
    found = validated(TrainerSettings, {"max_epochs": 3})
    assert (found.max_epochs, found.devices, found.progress) == (3, 1, "auto")
    assert found.to_dict() == {"max_epochs": 3}


@pytest.mark.parametrize("devices", [1, 8, "auto"])
def test_legal_numbers_of_devices(devices):
    assert validated(TrainerSettings, {"devices": devices}).devices == devices


def test_minutes_may_be_fractions():
    assert validated(CheckpointingSettings, {"every_minutes": 0.5}).every_minutes == 0.5
    with pytest.raises(SettingsError):
        validated(CheckpointingSettings, {"every_minutes": float("inf")})
