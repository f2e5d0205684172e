"""Which keys of mixing and sampling fit a task, and each other."""

import pytest

from settings.errors import SettingsError
from settings.run import RunSettings, validated
from tests.settings.conftest import SEGMENTS, changed


@pytest.mark.parametrize(
    ("keys", "problems"),
    [
        ({"aug.mixup": 0.2, "aug.cutmix": 1}, []),
        ({"aug.copy_paste": 0.5, "aug.copy_paste_classes": ["rider"], **SEGMENTS}, []),
        ({"data.sampling": "balanced", "data.sampling_threshold": 1}, []),
        ({"aug.mixup": 0.2, **SEGMENTS}, ["aug.mixup=0.2 is for images with one class each", "Type aug.copy_paste=0.5"]),
        ({"aug.mixup": 0.2, "aug.cutmix": 1, **SEGMENTS}, ["aug.mixup=0.2 is", "aug.cutmix=1 is"]),
        ({"aug.copy_paste": 0.5}, ["aug.copy_paste=0.5 pastes objects with their masks", "Type aug.cutmix=1.0"]),
        ({"aug.copy_paste_classes": ["rider"], **SEGMENTS}, ["aug.copy_paste_classes=[rider] needs aug.copy_paste=0.5"]),
        ({"data.sampling_threshold": 0.1}, ["data.sampling_threshold=0.1 needs data.sampling=balanced"]),
        ({"aug.mixup": 0}, ["aug.mixup=0: must be a number above 0 or null"]),
        ({"aug.copy_paste": 1.5, **SEGMENTS}, ["aug.copy_paste=1.5: must be"]),
        ({"aug.copy_paste_classes": "rider", **SEGMENTS}, ["aug.copy_paste_classes=rider: must be a list of names"]),
        ({"data.sampling": "weighted"}, ["data.sampling=weighted: must be", "uniform", "balanced"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_what_to_type(keys, problems):
    if not problems:
        validated(RunSettings, changed(keys))
        return
    with pytest.raises(SettingsError) as error:
        validated(RunSettings, changed(keys))
    for problem in problems:
        assert problem in str(error.value)
