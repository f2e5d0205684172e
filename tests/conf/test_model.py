"""torchvision's other models, each by an option of its own or by name."""

import json

import pytest
import torch
from torchvision import models

from entry.builders.modules import build
from settings.base import Target
from tests.test_segmentation import KEYS as MASKS
from tests.test_train import QUICK

ONE_EPOCH = ("trainer.max_epochs=1", "model.weights=none")


def test_a_classifier_of_torchvision_is_chosen_by_name(run_command, tmp_path, image_folder):
    keys = (
        *QUICK,
        *ONE_EPOCH,
        "data=image_folder",
        f"data.root={image_folder}",
        "data.batch_size=6",
        "model=torchvision",
    )
    answer = run_command("train", *keys, "model.name=mobilenet_v3_small", f"hydra.run.dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err
    count = sum(weight.numel() for weight in models.mobilenet_v3_small(num_classes=3).parameters())
    assert json.loads((tmp_path / "run/environment.json").read_text())["parameters"] == count
    answer = run_command("train", *keys, "model.name=mobilnet_v3")
    assert (answer.code, answer.out) == (2, "")
    assert (
        "torchvision.models.mobilnet_v3: there is nothing of that name. Like it: mobilenet_v2, mobilenet_v3_small"
        in answer.err
    )


@pytest.mark.parametrize(
    "name",
    ["lraspp_mobilenet_v3_large", *(pytest.param(f"fcn_resnet{size}", marks=pytest.mark.slow) for size in (50, 101))],
)
def test_segmenters_of_torchvision_train(run_command, tmp_path, mask_folder, name):
    keys = (*MASKS[1:], *ONE_EPOCH, f"data.root={mask_folder}", f"model={name}")
    answer = run_command("train", *keys, f"hydra.run.dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err
    theirs = build(
        Target.model_validate({"_target_": f"torchvision.models.segmentation.{name}"}), "model.network", num_classes=3
    )
    content = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    names = {key.removeprefix("network.") for key in content if key.startswith("network.")}
    assert {key for key in names if not key.startswith("aux_classifier")} == {*theirs.state_dict()}
