"""Parameter groups against what the libraries call their encoders and classifiers, and against steps of plain SGD."""

import pytest
import torch
from torch import nn
from torchvision import models

from lightning_modules.errors import NetworkError
from lightning_modules.networks.custom_cnn import custom_cnn
from lightning_modules.networks.deeplabv3 import deeplabv3_mobilenet_v3_large
from lightning_modules.networks.libraries import SMPSegmenter, TimmClassifier
from lightning_modules.networks.resnet import resnet18
from lightning_modules.parameter_groups import encoder_modules, layer_depths, parameter_groups
from settings.model import OptimizerSettings


def settings(**keys):
    return OptimizerSettings.model_validate({"_target_": "torch.optim.SGD", "lr": 0.1, **keys})


def named(network, part):
    """The names of the parameters in the modules of a part."""
    inside = {id(each) for module in part for each in module.parameters(recurse=False)}
    return {name for name, each in network.named_parameters() if id(each) in inside}


ONE_OF_EACH = ("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
               "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "vgg11", "vit_b_16")  # fmt: skip


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_of_torchvisions_classifiers_all_but_the_classifier_is_the_encoder(name):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        network = models.get_model(
            name,
            weights=None,
            num_classes=7,
            **({"init_weights": False} if name in ("googlenet", "inception_v3") else {}),
        )
    outside = {each for each, _ in network.named_parameters()} - named(network, encoder_modules(network, "key"))
    assert outside
    assert {len(value) for each, value in network.named_parameters() if each in outside} >= {7}
    assert all(each.startswith(("fc.", "classifier.", "head.", "heads.", "AuxLogits.", "aux1.", "aux2.")) for each in outside)  # fmt: skip


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "resnet10t", "deit_tiny_distilled_patch16_224", "mixer_s32_224", "convnext_atto"])  # fmt: skip
def test_of_timms_classifiers_the_encoder_is_what_loads_into_a_model_without_classes(name):
    timm = pytest.importorskip("timm")
    side = timm.get_pretrained_cfg(name).input_size[-1]
    network = TimmClassifier(num_classes=7, name=name, image_size=[side, side])
    without = {f"model.{each}" for each, _ in timm.create_model(name, num_classes=0).named_parameters()}
    assert named(network, encoder_modules(network, "key")) == without


def test_the_encoder_of_a_segmenter_is_its_encoder_or_backbone():
    pytest.importorskip("segmentation_models_pytorch")
    unet = SMPSegmenter(3, "Unet", "tu-test_resnet", [32, 32])
    lraspp = models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    for network, prefix in (
        (unet, "model.encoder."),
        (deeplabv3_mobilenet_v3_large(3), "backbone."),
        (lraspp, "backbone."),
    ):
        expected = {name for name, _ in network.named_parameters() if name.startswith(prefix)}
        assert expected
        assert named(network, encoder_modules(network, "key")) == expected


def test_a_network_without_an_encoder_is_refused_with_what_to_take():
    with pytest.raises(
        NetworkError, match=r"optimizer\.encoder_lr: CustomCNN has no pretrained encoder.*model=resnet18"
    ):
        parameter_groups(custom_cnn(3, (16, 16)), settings(encoder_lr=0.01))


def test_each_part_is_updated_with_its_own_rate_and_decay():
    """By hand: w ← w - rate × (gradient + decay × w), with no decay on biases and BatchNorm."""
    network = resnet18(3)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(
        parameter_groups(network, settings(encoder_lr=0.01, weight_decay=0.5, weight_decay_norms=False)),
        lr=9,
        weight_decay=0.5,
    )
    network(torch.randn(2, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    for name, value in network.named_parameters():
        rate = 0.1 if name.startswith("fc.") else 0.01
        decay = 0.5 if value.ndim > 1 else 0.0
        torch.testing.assert_close(value, before[name] - rate * (value.grad + decay * before[name]), msg=name)
    assert optimizer.param_groups[0]["params"][0] is network.fc.weight  # its rate stands in history.csv


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_what_has_no_decay_is_what_timm_leaves_out(name):
    optim = pytest.importorskip("timm.optim")
    network = TimmClassifier(num_classes=7, name=name, image_size=[160, 160])
    excluded = network.model.no_weight_decay() if hasattr(network.model, "no_weight_decay") else ()
    theirs = optim.param_groups_weight_decay(network.model, 0.5, no_weight_decay_list=excluded)
    ours = parameter_groups(network, settings(weight_decay=0.5, weight_decay_norms=False))
    assert [each["lr"] for each in ours] == [0.1, 0.1]
    assert [each.get("weight_decay") for each in ours] == [None, 0.0]
    assert {id(each) for each in ours[1]["params"]} == {id(each) for each in theirs[0]["params"]}
    assert {id(each) for each in ours[0]["params"]} == {id(each) for each in theirs[1]["params"]}


def test_equal_rates_are_groups_of_their_own_all_the_same():
    """So that a run can be resumed with another rate."""
    assert len(parameter_groups(resnet18(3), settings(encoder_lr=0.1))) == 2


def test_parameters_that_timm_leaves_out_are_found_within_other_networks():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.place, self.weight = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))

        def no_weight_decay(self):
            return {"place"}

    network = nn.Sequential(Positions())
    decayed, plain = parameter_groups(network, settings(weight_decay_norms=False))
    assert decayed["params"] == [network[0].weight]
    assert plain["params"] == [network[0].place]


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet", "test_resnet"])
@pytest.mark.parametrize("norms", [True, False])
def test_layer_decay_of_a_classifier_is_timms_own(name, norms):
    optim = pytest.importorskip("timm.optim")
    network = TimmClassifier(num_classes=7, name=name, image_size=[160, 160])
    excluded = network.model.no_weight_decay() if hasattr(network.model, "no_weight_decay") else ()
    theirs = optim.param_groups_layer_decay(
        network.model, 0.5, excluded, layer_decay=0.7, weight_decay_exclude_1d=not norms
    )
    keys = {"layer_decay": 0.7, "weight_decay": 0.5, "weight_decay_norms": norms}
    ours = parameter_groups(network, settings(**keys))
    expected = {id(each): (group["lr_scale"], group["weight_decay"]) for group in theirs for each in group["params"]}
    found = {id(each): (group["lr"], group.get("weight_decay", 0.5)) for group in ours for each in group["params"]}
    assert found.keys() == expected.keys()
    for key, (scale, decay) in expected.items():
        own = 0.5 if norms else decay  # timm leaves its own list out in any case
        assert found[key] == (pytest.approx(0.1 * scale), own)
    head = network.model.get_classifier().weight
    assert any(each is head for each in ours[0]["params"])


@pytest.mark.parametrize("encoder", ["test_resnet", "convnext_atto", "tf_efficientnet_lite0"])
def test_layer_decay_of_an_encoder_is_that_of_the_whole_classifier(encoder):
    """The decoder is in the classifier's place; names differ by the points that smp's pyramids of features lack."""
    pytest.importorskip("segmentation_models_pytorch")
    timm, optim = pytest.importorskip("timm"), pytest.importorskip("timm.optim")
    network, whole = SMPSegmenter(3, "Unet", f"tu-{encoder}", [32, 32]), timm.create_model(encoder)
    theirs = optim.param_groups_layer_decay(whole, layer_decay=0.5)
    of = {id(each): group["lr_scale"] for group in theirs for each in group["params"]}
    scales = {name.replace(".", "_"): of[id(each)] for name, each in whole.named_parameters()}
    ours = parameter_groups(network, settings(layer_decay=0.5, encoder_lr=0.01))
    rates = {id(each): group["lr"] for group in ours for each in group["params"]}
    for name, each in network.named_parameters():
        place = name.removeprefix("model.encoder.model.").replace(".", "_")
        wanted = 0.01 * scales[place] if name.startswith("model.encoder.") else 0.1
        assert rates[id(each)] == pytest.approx(wanted), name
    assert len({*rates.values()}) > 4


def test_layers_are_refused_where_nobody_knows_them():
    with pytest.raises(
        NetworkError, match=r"optimizer\.layer_decay: layers are known of timm's networks only\..*tu-convnext_tiny"
    ):
        layer_depths(resnet18(3))
    pytest.importorskip("segmentation_models_pytorch")
    with pytest.raises(NetworkError, match=r"optimizer\.layer_decay"):
        parameter_groups(SMPSegmenter(3, "Unet", "resnet18", [32, 32]), settings(layer_decay=0.5))
