"""Which targets of a configuration need no look at the objects, and that all others get one."""

import pytest

from entry.config.allowlist import check_target
from entry.config.targets import check_targets, shipped
from entry.errors import RequestError
from settings.run import RunSettings, validated
from tests.settings.conftest import changed

PLACES = ("data", "model", "lightning_module", "loss", "optimizer", "scheduler", "aug", "callbacks")
OWN = [(place, target) for place, target in shipped() if place.split(".")[0] in PLACES and "${" not in str(target)]


def test_what_conf_names_is_known_by_its_key():
    assert {
        ("model.network._target_", "lightning_modules.networks.custom_cnn.custom_cnn"),
        ("data._target_", "datamodules.image_folder.ImageFolderDataModule"),
        ("lightning_module._target_", "lightning_modules.segmentation.SegmentationModule"),
        ("aug.transform.transforms.0._target_", "albumentations.HorizontalFlip"),
    } <= {*OWN}
    assert {place.split(".")[0] for place, _ in OWN} == {*PLACES}


@pytest.mark.parametrize(("place", "target"), sorted({*map(tuple, OWN)}))
def test_conf_names_nothing_that_the_allowlist_would_refuse(place, target):
    check_target(place, target)


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("callbacks.mine._target_", "lightning_modules.networks.custom_cnn.custom_cnn"),
        ("optimizer._target_", "lightning_modules.schedules.constant"),
        ("model.network._target_", "torch.optim.Adam"),
        ("model.network.inner._target_", "lightning_modules.schedules.constant"),
        ("aug.mine._target_", "albumentations.HorizontalFlip"),
    ],
)
def test_what_conf_names_at_one_key_is_not_built_at_another(key, target):
    with pytest.raises(RequestError, match=rf"^{key}={target}"):
        check_targets(validated(RunSettings, changed({key: target})), ())


def test_a_logger_inside_an_augmentation_is_not_built():
    plain = changed({})
    transforms = [{"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "/tmp/x"}]
    plain["aug"] = {"name": "mine", "transform": {"_target_": "albumentations.Compose", "transforms": transforms}}
    with pytest.raises(
        RequestError,
        match=r"^aug\.transform\.transforms\.0\._target_=lightning\.pytorch\.loggers\.CSVLogger is not built",
    ):
        check_targets(validated(RunSettings, plain), ())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aug.mine", "${oc.create:{_target_: os.system}}"),
        ("data.options", {"b": ["x${c}"]}),
        ("data.options", {"${b}": 1}),
        ("model.network._target_", "${b}"),
    ],
)
def test_a_text_that_would_be_resolved_again_is_refused(key, value):
    with pytest.raises(RequestError, match="cannot stand in a configuration that is resolved already"):
        check_targets(validated(RunSettings, changed({key: value})), ())
