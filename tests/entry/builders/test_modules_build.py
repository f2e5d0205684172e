import pytest
import torch
from hydra.errors import InstantiationException
from torch import nn

from entry.builders.modules import accepted, build, optimizer, scheduler
from entry.errors import RequestError
from settings.base import Target
from settings.model import OptimizerSettings, SchedulerSettings
from tests.test_train import QUICK, files_below

ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("+optimizer.foo=1", "optimizer.foo: Adam has no such setting. Those it has: lr, betas"),
        ("+optimizer.eps=-1", "optimizer: Adam does not take these settings: Invalid epsilon value: -1."),
        (
            "scheduler._target_=torch.optim.lr_scheduler.StepLR",
            "scheduler: StepLR does not take these settings: StepLR.__init__() missing 1 required positional argument: 'step_size'.",
        ),
        (
            "scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
            "scheduler: ReduceLROnPlateau follows a score",
        ),
        ("+scheduler.foo=1", "scheduler.foo: constant has no such setting. Those it has: none at all."),
        (
            "+model.network.foo=1",
            "model.network.foo: custom_cnn has no such setting. Those it has: image_size, dropout.",
        ),
        ("model.network.dropout=high", "model.network.dropout=high: must be a number."),
        ("+optimizer.maximize=1", "optimizer.maximize=1: must be true or false."),
        (
            "loss={_target_: torch.nn.MultiMarginLoss, class_weights: balanced}",
            "loss.class_weights=balanced: MultiMarginLoss has no such parameter.",
        ),
        (
            "+data.options.gap=3",
            "data.options.gap: ImageFolderDataModule has no such setting. Those it has: none at all.",
        ),
        ("scheduler.power=-1", "scheduler.power=-1: must be a number of at least 0."),
        ("model.network=null", "model.network=null: it needs a _target_"),
        ("aug.transform=5", "aug.transform=5: it needs a _target_"),
    ],
)
def test_settings_that_are_not_taken_are_refused_before_anything_starts(
    run_command, tmp_path, image_folder, typed, message
):
    poly = ("scheduler=poly",) if "power" in typed else ()
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *poly, typed)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert files_below(tmp_path) == set()


RESNET = ("model=resnet18", "model.weights=none", "model.network._target_=torchvision.models.resnet18")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ((*RESNET, "+model.network.nonsense=3"), "model.network.nonsense: resnet18 has no such setting."),
        (
            (*RESNET, "+model.network.replace_stride_with_dilation=[1]"),
            "model.network: resnet18 does not take these settings: replace_stride_with_dilation should be None or a 3-element tuple, got [1].",
        ),
        (
            ("model.network.dropout=2",),
            "model.network: custom_cnn does not take these settings: dropout probability has to be between 0 and 1, but got 2.",
        ),
        (
            ("aug=road", "aug.transform.transforms=[{_target_: albumentations.HorizontalFlip, p: often}]"),
            "aug.transform: HorizontalFlip does not take these settings: 1 validation error for InitSchema p Input should be a valid number",
        ),
    ],
)
def test_what_only_the_target_itself_can_tell_is_one_sentence_too(run_command, tmp_path, image_folder, typed, message):
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *typed)
    assert answer.code == 2, answer.err
    assert answer.err.startswith(message)
    assert len(answer.err.splitlines()) == 1
    assert files_below(tmp_path) == set()


def test_a_bug_of_a_target_keeps_its_traceback(monkeypatch):
    def broken(num_classes):
        raise RuntimeError("a bug")

    monkeypatch.setattr("lightning_modules.networks.custom_cnn.custom_cnn", broken)
    with pytest.raises(InstantiationException, match="a bug"):
        build(Target(_target_="lightning_modules.networks.custom_cnn.custom_cnn"), "model.network", num_classes=2)


def test_what_is_accepted_is_built():
    made = optimizer(OptimizerSettings(**ADAM, amsgrad=True), "auto")
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
    made = optimizer(settings, precision)(nn.Linear(2, 1).parameters())
    assert type(made) is getattr(torch.optim, name)
    assert (made.defaults["lr"], made.defaults["fused"]) == (0.5, fused)


def test_an_optimizer_without_a_fused_step_is_left_alone():
    settings = OptimizerSettings(_target_="torch.optim.Adagrad", _partial_=True)
    assert optimizer(settings, "16-mixed")(nn.Linear(2, 1).parameters()).defaults["fused"] is None


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
