"""Settings that an object does not take: one sentence, and nothing left behind."""

import pytest

from tests.test_train import QUICK, files_below


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
        (
            "+scheduler.foo=1",
            "scheduler.foo: constant has no such setting. Those it has: warmup_steps, warmup_fraction.",
        ),
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
