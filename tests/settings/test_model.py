import pytest

from settings.errors import SettingsError
from settings.model import LOSSES, AugSettings, LossSettings, ModelSettings, OptimizerSettings
from settings.run import validated
from tests.settings.conftest import PLAIN


@pytest.mark.parametrize("name", LOSSES)
def test_a_shipped_loss_is_chosen_by_its_name_alone(name):
    old = {
        "name": name,
        "auxiliary": 0.4,
        "label_smoothing": 0.0,
        "class_weights": "none",
    }  # of a run from before the group
    assert validated(LossSettings, old).target == LOSSES[name]
    other = next(target for target in LOSSES.values() if target != LOSSES[name])
    assert validated(LossSettings, {**old, "_target_": other}).target == LOSSES[name]  # loss.name= typed over another


def test_a_loss_of_ones_own_keeps_its_target_and_parameters():
    loss = validated(LossSettings, {"name": "focal", "_target_": "mine.Focal", "gamma": 2})
    assert loss.to_dict() == {"name": "focal", "_target_": "mine.Focal", "gamma": 2}


def test_weights_are_a_published_name_or_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for weights, expected in (("imagenet", "imagenet"), ("none", "none"), ("w.pt", str(tmp_path / "w.pt"))):
        assert validated(ModelSettings, {**PLAIN["model"], "weights": weights}).weights == expected


def test_other_optimisers_have_other_keys():
    keys = {"_target_": "torch.optim.RMSprop", "lr": 0.1, "alpha": 0.9}
    assert validated(OptimizerSettings, keys).to_dict() == keys


def test_an_augmentation_of_ones_own_may_use_rotation_otherwise():
    assert validated(AugSettings, {"name": "mine", "rotation": [-5, 10]}).rotation == [-5, 10]
    with pytest.raises(SettingsError):
        validated(AugSettings, {"name": "flip_rotate", "rotation": [-5, 10]})


@pytest.mark.parametrize(("name", "former"), [("ohem", "OnlineHardExampleMining"), ("dice_cross_entropy", "DiceCrossEntropy")])  # fmt: skip
def test_a_loss_is_found_where_an_earlier_run_named_it(name, former):
    loss = LossSettings.model_validate({"name": name, "_target_": f"lightning_modules.losses.{former}"})
    assert loss.target == f"lightning_modules.hard_losses.{former}"
