"""Networks of timm and smp: equal to what these packages build themselves, and refused with what to type."""

import re
import sys

import pytest
import torch

from lightning_modules.errors import NetworkError
from lightning_modules.networks.libraries import SMPSegmenter, TimmClassifier, library, timm_config

timm = pytest.importorskip("timm")
smp = pytest.importorskip("segmentation_models_pytorch")
SIZE = (64, 96)


def same_weights(network, other) -> None:
    other.load_state_dict(network.state_dict())


def images(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "tf_efficientnet_lite0"])
def test_logits_are_those_of_timm(name):
    network, theirs = TimmClassifier(5, name, SIZE).eval(), timm.create_model(name, num_classes=5).eval()
    same_weights(network.model, theirs)
    assert torch.equal(network(images(*SIZE)), theirs(images(*SIZE)))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow)]
)
def test_an_architecture_of_a_fixed_size_is_built_for_that_of_the_images(name):
    network, theirs = (
        TimmClassifier(5, name, (64, 64)).eval(),
        timm.create_model(name, num_classes=5, img_size=(64, 64)).eval(),
    )
    same_weights(network.model, theirs)
    torch.testing.assert_close(network(images(64, 64)), theirs(images(64, 64)))


@pytest.mark.parametrize(("arch", "encoder"), [("Unet", "tu-tf_efficientnet_lite0"), ("FPN", "resnet18"), pytest.param("segformer", "mit_b0", marks=pytest.mark.slow), ("DeepLabV3Plus", "tu-mobilenetv3_small_050")])  # fmt: skip
def test_logits_are_those_of_smp(arch, encoder):
    network = SMPSegmenter(5, arch, encoder, SIZE).eval()
    theirs = smp.create_model(arch, encoder, encoder_weights=None, classes=5).eval()
    same_weights(network.model, theirs)
    assert torch.equal(network(images(*SIZE)), theirs(images(*SIZE)))


def test_images_of_any_size_are_padded_to_what_an_architecture_needs():
    network = SMPSegmenter(5, "FPN", "resnet18", SIZE).eval()
    frame = images(50, 70)
    with pytest.raises(RuntimeError, match="divisible by 32"):
        network.model(frame)
    padded = torch.zeros(2, 3, 64, 96)
    padded[:, :, :50, :70] = frame
    assert torch.equal(network(frame), network.model(padded)[:, :, :50, :70])


def test_frames_are_padded_also_where_a_network_takes_any_size():
    """TensorFlow pads odd sizes on both sides, even ones at the right only: 0.68 of mIoU on IDD-Lite's 227×320 became 0.60."""
    network = SMPSegmenter(5, "Unet", "tu-tf_efficientnet_lite0", SIZE).eval()
    frame = images(57, 83)
    padded = torch.zeros(2, 3, 64, 96)
    padded[:, :, :57, :83] = frame
    assert torch.equal(network(frame), network.model(padded)[:, :, :57, :83])
    of_any_size = network.model(frame)
    assert of_any_size.shape == (2, 5, 57, 83)
    assert not torch.allclose(of_any_size, network(frame), atol=0.1)


@pytest.mark.slow
def test_an_encoder_for_one_size_takes_others_where_timm_lets_it():
    network = SMPSegmenter(5, "Unet", "tu-swin_tiny_patch4_window7_224", (64, 64)).eval()
    assert network(images(96, 160)).shape == (2, 5, 96, 160)
    vit = SMPSegmenter(5, "DPT", "tu-vit_tiny_patch16_224", (64, 64)).eval()
    assert vit(images(90, 160)).shape == (2, 5, 90, 160)


def test_arguments_of_an_architecture_are_passed_on():
    network = SMPSegmenter(5, "Unet", "resnet18", SIZE, decoder_channels=[32, 16, 8, 8, 4])
    assert network.model.segmentation_head[0].in_channels == 4
    assert TimmClassifier(5, "resnet10t", SIZE, drop_rate=0.25).model.drop_rate == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TimmClassifier(5, "convnext_tini", SIZE), r"^model.name=convnext_tini: timm has no such name. .* such as convnext_tiny, "),
        (lambda: TimmClassifier(5, "resnet18.a9_in1k", SIZE), r"timm has no such name. It has \d+, such as resnet18.a1_in1k"),
        (lambda: TimmClassifier(5, "hf-hub:timm/resnet18", SIZE), "timm has no such name"),
        (lambda: TimmClassifier(5, "local-dir:/tmp/x", SIZE), "timm has no such name"),
        (lambda: TimmClassifier(5, "levit_128s", (50, 50)), r"takes no images of data.image_size=\[50,50\]: .*data.image_size=\[224,224\]"),
        (lambda: TimmClassifier(5, "convit_tiny", (64, 64), (80, 80)), r"takes no images of data.eval_size=\[80,80\]"),
        (lambda: TimmClassifier(5, "vgg11", SIZE, drop_path_rate=0.1), "unexpected keyword argument 'drop_path_rate'"),
        (lambda: SMPSegmenter(5, "Unett", "resnet18", SIZE), "^model.arch=Unett: smp has no such name. .* such as Unet, "),
        (lambda: SMPSegmenter(5, "Unet", "resnet43", SIZE), "^model.encoder=resnet43: smp has no such name. .* such as resnet34, "),
        (lambda: SMPSegmenter(5, "Unet", "tu-resnet43", SIZE), "^model.encoder=tu-resnet43: timm has no such name. .* tu-resnet34, "),
        (lambda: SMPSegmenter(5, "Linknet", "mit_b0", SIZE), "^model.arch=Linknet with model.encoder=mit_b0 cannot be built: .*not supported"),
        (lambda: SMPSegmenter(5, "Unet", "resnet18", SIZE, depth=3), "^model.network.depth: Unet has no such setting. Those it has: encoder_depth, "),
        (lambda: SMPSegmenter(5, "Unet", "tu-resnet18", SIZE, checkpoint_path="/tmp/x"), "checkpoint_path: Unet has no such setting"),
        (lambda: SMPSegmenter(5, "Unet", "resnet18", SIZE, encoder_weights="imagenet"), "encoder_weights: Unet has no such setting"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named(make, message):
    with pytest.raises(NetworkError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_package_that_is_missing_is_an_error_with_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NetworkError, match=re.escape("Type: pip install timm segmentation-models-pytorch")):
        library("timm")


def test_the_normalisation_is_timms():
    assert TimmClassifier(5, "tf_efficientnet_lite0", SIZE).normalisation == ((0.5,) * 3, (0.5,) * 3)
    assert SMPSegmenter(5, "Unet", "resnet18", SIZE).normalisation is None  # it stands beside the weights
    assert timm_config("vit_tiny_patch16_224.augreg_in21k", "model.name", "…").mean == (0.5, 0.5, 0.5)
