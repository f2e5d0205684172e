import pytest
import torch
from hydra.errors import InstantiationException
from torch import nn

from entry.builders.modules import accepted, build, optimizer, scheduler
from entry.errors import RequestError
from settings.base import Target
from settings.model import OptimizerSettings, SchedulerSettings

ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}


def test_a_bug_of_a_target_keeps_its_traceback(monkeypatch):
    def broken(num_classes):
        raise RuntimeError("a bug")

    monkeypatch.setattr("lightning_modules.networks.custom_cnn.custom_cnn", broken)
    with pytest.raises(InstantiationException, match="a bug"):
        build(Target(_target_="lightning_modules.networks.custom_cnn.custom_cnn"), "model.network", num_classes=2)


def test_what_is_accepted_is_built():
    made = optimizer(OptimizerSettings(**ADAM, amsgrad=True), "auto", nn.Linear(2, 1))
    assert made.keywords == {"lr": 1e-3, "amsgrad": True}
    linear = Target(_target_="torch.nn.Linear", in_features=3)
    assert build(linear, "model.network", out_features=2).weight.shape == (2, 3)


def test_keys_that_are_no_arguments_are_left_out():
    linear = Target(_target_="torch.nn.Linear", in_features=3, name="mine")
    assert build(linear, "model.network", ("name",), out_features=2).in_features == 3


def test_known_arguments_are_offered_to_those_that_have_them():
    known = {"out_features": 2, "num_classes": 2}
    assert accepted(Target(_target_="torch.nn.Linear"), known) == {"out_features": 2}
    assert accepted(Target(_target_="torchvision.models.resnet18"), known) == known  # it takes any


def test_a_target_that_takes_any_setting_is_not_second_guessed():
    network = build(
        Target(_target_="torchvision.models.resnet18", num_classes=2), "model.network"
    )  # among its **kwargs
    assert network.fc.out_features == 2
    with pytest.raises(RequestError, match=r"model\.network\.foo: Linear has no such setting"):
        build(Target(_target_="torch.nn.Linear", in_features=3, foo=1), "model.network", out_features=2)


@pytest.mark.parametrize(
    ("precision", "fused"), [("auto", True), ("32-true", True), ("bf16-mixed", True), ("16-mixed", False)]
)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_step_is_fused_unless_a_loss_scaler_works_with_it(name, precision, fused):
    settings = OptimizerSettings(_target_=f"torch.optim.{name}", _partial_=True, lr=0.5, fused=True)
    made = optimizer(settings, precision, nn.Linear(2, 1))(nn.Linear(2, 1).parameters())
    assert type(made) is getattr(torch.optim, name)
    assert (made.defaults["lr"], made.defaults["fused"]) == (0.5, fused)


def test_an_optimizer_without_a_fused_step_is_left_alone():
    settings = OptimizerSettings(_target_="torch.optim.Adagrad", _partial_=True)
    assert optimizer(settings, "16-mixed", nn.Linear(2, 1))(nn.Linear(2, 1).parameters()).defaults["fused"] is None


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 2, "gamma": 0.5}, [1, 1, 0.5, 0.5, 0.25]),
        (
            {"_target_": "torch.optim.lr_scheduler.LinearLR", "start_factor": 0.5, "total_iters": 2},
            [0.5, 0.75, 1, 1, 1],
        ),
        ({"_target_": "lightning_modules.schedules.poly", "power": 1}, [1, 0.75, 0.5, 0.25, 0]),
    ],
)
def test_schedules_of_torch_are_built_as_ours_are(settings, rates):
    steps = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = scheduler(SchedulerSettings(**settings, _partial_=True), total_steps=4)(steps), []
    for _ in rates:
        found.append(steps.param_groups[0]["lr"])
        steps.step()
        schedule.step()
    assert found == pytest.approx(rates)


def test_a_schedule_with_such_a_parameter_gets_the_number_of_steps():
    settings = SchedulerSettings(_target_="torch.optim.lr_scheduler.OneCycleLR", _partial_=True, max_lr=1.0)
    steps = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    assert scheduler(settings, total_steps=7)(steps).total_steps == 7


def test_a_segmentation_model_of_torchvision_downloads_no_backbone(monkeypatch):
    def download(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    target = Target(_target_="torchvision.models.segmentation.lraspp_mobilenet_v3_large")
    network = build(target, "model.network", num_classes=2)
    assert network.classifier.low_classifier.out_channels == 2
