import pytest
import torch
from torch import nn

from lightning_modules.errors import WeightsError
from lightning_modules.weights import load
from lightning_modules.weights.load import NotReachableError, PublishedWeights, load_weights
from settings.base import Target
from settings.errors import SettingsError
from settings.model import ModelSettings
from settings.run import validated


class Tiny(nn.Module):
    """Two layers and a head, with BatchNorm's buffers."""

    def __init__(self, classes=3, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.head = nn.Linear(width, classes)


PUBLISHED = {("tiny", "imagenet"): PublishedWeights("http://x/tiny-01234567.pth", 3)}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    def published(target, kind):
        return PUBLISHED.get((target.rpartition(".")[2], kind))

    monkeypatch.setattr(load, "published_weights", published)


def loaded(network, model, requested, whole=False, partial=False, key=None):
    """Load weights as for a model of torchvision, or for one of somebody's own."""
    package = "somebody.models" if model == "mine" else "torchvision.models"
    rows = [len(tensor) for tensor in network.state_dict().values() if tensor.dim()]
    target = Target(_target_=f"{package}.{model}")
    settings = ModelSettings.model_construct(name=model, network=target, partial=partial, weights_key=key)
    return load_weights(network, settings, requested, rows[-1], whole=whole)


@pytest.fixture
def offline(monkeypatch):
    def fetch(*_):
        raise NotReachableError("http://x/tiny-01234567.pth cannot be reached (no answer within 5 s)")

    monkeypatch.setattr(load, "fetch", fetch)


def saved(tmp_path, content, name="w.pt"):
    torch.save(content, tmp_path / name)
    return str(tmp_path / name)


def copy(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(network, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_network_of_ones_own_starts_from_a_file_that_fits(tmp_path, offline):
    trained, fresh = Tiny(), Tiny()
    loaded(fresh, "mine", saved(tmp_path, trained.state_dict()))
    assert same(fresh, copy(trained))
    with pytest.raises(
        WeightsError, match=r"no ImageNet weights for mine, only for models of torchvision; use model\.weights=none"
    ):
        loaded(Tiny(), "mine", "imagenet")


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "network.", "_orig_mod.", "backbone.", "module._orig_mod.", "network._orig_mod.module.", "net.", "encoder.",
     "student.backbone.", "a.name.of.ones.own."],
)  # fmt: skip
def test_prefixes_are_taken_off(tmp_path, prefix):
    source, network = Tiny(), Tiny()
    path = saved(tmp_path, {prefix + name: tensor for name, tensor in source.state_dict().items()})
    report = loaded(network, "tiny", path)
    assert same(network, source.state_dict())
    assert report.used == path
    assert report.note == f"tiny starts from {path}"


def test_a_prefix_that_is_the_networks_own_stays(tmp_path):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Linear(2, 2)
            self.head = nn.Linear(2, 2)

    source, network = Nested(), Nested()
    loaded(network, "tiny", saved(tmp_path, {f"model.{k}": v for k, v in source.state_dict().items()}))
    assert same(network, source.state_dict())


def test_what_a_lightning_checkpoint_has_besides_the_network_is_left_out_and_said(tmp_path):
    source, network = Tiny(), Tiny()
    state = {f"network.{name}": tensor for name, tensor in source.state_dict().items()} | {"loss.weight": torch.ones(3)}
    report = loaded(network, "tiny", saved(tmp_path, {"state_dict": state, "epoch": 3}, "last.ckpt"))
    assert same(network, source.state_dict())
    assert "left out what is not under network.: loss.weight" in report.note


def test_a_head_of_another_size_starts_fresh_and_is_said(tmp_path):
    source, network = Tiny(classes=1000), Tiny()
    before = copy(network)
    report = loaded(network, "tiny", saved(tmp_path, source.state_dict()))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("head.") else source.state_dict()[name])
    assert "the head (head) is for another number of classes and starts fresh" in report.note


def test_a_layer_that_only_training_uses_may_be_missing_and_is_said(tmp_path):
    class WithAuxiliary(Tiny):
        def __init__(self):
            super().__init__()
            self.auxiliary = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))

    source, network = Tiny(), WithAuxiliary()
    before = copy(network.auxiliary)
    path = saved(tmp_path, source.state_dict())
    report = loaded(network, "with auxiliary", path, whole=True)
    assert report.note == (
        f"with auxiliary starts from {path}; auxiliary, which only training uses, is not in it and starts fresh"
    )
    assert same(network.auxiliary, before)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in source.state_dict().items())
    # A part of it is no whole.
    broken = {**source.state_dict(), "auxiliary.0.weight": torch.zeros(4, 4)}
    with pytest.raises(WeightsError, match=r"missing auxiliary\.0\.bias, auxiliary\.1\.weight"):
        loaded(network, "with auxiliary", saved(tmp_path, broken), whole=True)


def test_an_auxiliary_head_of_other_classes_starts_fresh_and_the_main_head_may_not(tmp_path):
    class WithAuxiliary(Tiny):
        def __init__(self, classes):
            super().__init__()
            self.auxiliary = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, classes))

    source, network = WithAuxiliary(5), WithAuxiliary(3)
    before = copy(network)
    report = loaded(network, "with auxiliary", saved(tmp_path, source.state_dict()), whole=True)
    assert report.note.endswith("; the head (auxiliary.1) is for another number of classes and starts fresh")
    for name, tensor in network.state_dict().items():
        expected = before if name.startswith("auxiliary.1.") else source.state_dict()
        assert torch.equal(tensor, expected[name])
    other = {**source.state_dict(), "head.weight": torch.zeros(9, 4), "head.bias": torch.zeros(9)}
    with pytest.raises(WeightsError, match=r"its head \(head\) predicts 9 classes, and model\.label_space has"):
        loaded(network, "with auxiliary", saved(tmp_path, other), whole=True)


def test_every_mismatch_is_listed_and_nothing_is_loaded(tmp_path):
    state = Tiny().state_dict()
    del state["body.0.bias"]
    state["body.1.weight"] = torch.ones(5)
    state["extra.weight"] = torch.ones(1)
    network = Tiny()
    before = copy(network)
    with pytest.raises(WeightsError) as caught:
        loaded(network, "tiny", saved(tmp_path, state))
    for problem in ("missing body.0.bias", "body.1.weight is 5, the network's is 4", "unexpected extra.weight"):
        assert problem in str(caught.value)
    assert same(network, before)


def test_a_head_that_is_missing_or_built_otherwise_is_a_mismatch(tmp_path):
    state = Tiny().state_dict()
    del state["head.weight"]
    with pytest.raises(WeightsError, match=r"missing head\.weight"):
        loaded(Tiny(), "tiny", saved(tmp_path, state))
    state["head.weight"] = torch.ones(3, 9)
    with pytest.raises(WeightsError, match=r"head\.weight is 3×9, the network's is 3×4"):
        loaded(Tiny(), "tiny", saved(tmp_path, state))


def test_a_long_list_of_mismatches_is_cut_and_counted(tmp_path):
    state = Tiny().state_dict() | {f"extra{i}": torch.ones(1) for i in range(25)}
    with pytest.raises(WeightsError, match=r"unexpected extra0, .* and 20 more\. .*; with model\.partial=true"):
        loaded(Tiny(), "tiny", saved(tmp_path, state))


def test_checkpoints_from_before_batchnorm_counted_are_accepted(tmp_path):
    source, network = Tiny(), Tiny()
    state = dict(source.state_dict())
    del state["body.1.num_batches_tracked"]
    loaded(network, "tiny", saved(tmp_path, state))
    assert same(network, source.state_dict())


def test_imagenet_loads_all_but_the_head_even_where_it_would_fit(tmp_path, monkeypatch):
    source, network = Tiny(), Tiny()
    before, file = copy(network), tmp_path / "tiny-01234567.pth"
    torch.save(source.state_dict(), file)
    monkeypatch.setattr(load, "fetch", lambda *_: file)
    report = loaded(network, "tiny", "auto")
    assert (report.requested, report.used) == ("auto", "imagenet")
    assert "tiny starts from ImageNet weights" in report.note
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("head.") else source.state_dict()[name])


def test_auto_says_in_one_line_that_it_trains_from_scratch(offline):
    network = Tiny()
    before = copy(network)
    report = loaded(network, "tiny", "auto")
    assert (report.requested, report.used) == ("auto", "none")
    assert report.note.startswith("tiny trains from scratch: ")
    assert "no answer within 5 s" in report.note
    assert "\n" not in report.note
    assert same(network, before)


def test_imagenet_offline_says_which_file_goes_where(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        loaded(Tiny(), "tiny", "imagenet")
    for part in (
        "http://x/tiny-01234567.pth",
        str(tmp_path / "hub" / "checkpoints" / "tiny-01234567.pth"),
        "model.weights=none",
    ):
        assert part in str(caught.value)


def test_a_model_of_torchvision_without_weights_is_trained_from_scratch_with_a_note():
    report = loaded(Tiny(), "plain", "auto")
    assert (report.used, report.note) == ("none", "plain trains from scratch: there are no ImageNet weights for plain")


def test_published_weights_that_do_not_fit_are_an_error_unless_auto(tmp_path, monkeypatch):
    torch.save(Tiny(width=8).state_dict(), tmp_path / "tiny-01234567.pth")
    monkeypatch.setattr(load, "fetch", lambda *_: tmp_path / "tiny-01234567.pth")
    network = Tiny()
    before = copy(network)
    report = loaded(network, "tiny", "auto")
    assert report.used == "none"
    assert (
        "tiny-01234567.pth does not fit the network: body.0.weight is 8×3×3×3, the network's is 4×3×3×3" in report.note
    )
    assert same(network, before)
    with pytest.raises(WeightsError, match="does not fit the network"):
        loaded(network, "tiny", "imagenet")


def test_weights_that_were_trained_with_another_normalisation_are_noted(tmp_path, monkeypatch):
    torch.save(Tiny().state_dict(), tmp_path / "half-01234567.pth")
    half = PublishedWeights("http://x/half-01234567.pth", 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    monkeypatch.setitem(PUBLISHED, ("half", "imagenet"), half)
    monkeypatch.setattr(load, "fetch", lambda *_: tmp_path / "half-01234567.pth")
    assert loaded(Tiny(), "half", "auto").note.endswith(
        "trained with model.mean=[0.5, 0.5, 0.5] and model.std=[0.25, 0.25, 0.25]"
    )


def test_a_word_that_is_no_choice_is_answered_with_the_choices():
    with pytest.raises(
        WeightsError, match=r"model.weights=imagnet: no such file; give auto, none, imagenet, coco_voc or the path"
    ):
        loaded(Tiny(), "tiny", "imagnet")


class Segmenter(nn.Module):
    """A backbone under a name of its own, and a head."""

    def __init__(self, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.classifier = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, classes, 1))


@pytest.fixture
def segmenter(monkeypatch, tmp_path):
    """ImageNet's file for the backbone, with names that begin with ``features.``, and one of the whole network with 21 classes."""
    for kind, name, count in (("imagenet", "backbone", 1000), ("coco_voc", "voc", 21)):
        published = PublishedWeights(f"http://x/{name}-01234567.pth", count)
        monkeypatch.setitem(PUBLISHED, ("segmenter", kind), published)
    whole = Segmenter(21)
    trained = {f"features.{name}": tensor + 1 for name, tensor in Segmenter().backbone.state_dict().items()}
    torch.save({**trained, "classifier.0.weight": torch.zeros(9, 9)}, tmp_path / "backbone-01234567.pth")
    torch.save(whole.state_dict(), tmp_path / "voc-01234567.pth")
    monkeypatch.setattr(load, "fetch", lambda url: tmp_path / url.rsplit("/", 1)[1])
    return trained, whole


@pytest.mark.parametrize("requested", ["auto", "imagenet"])
def test_imagenet_fills_the_backbone_alone(segmenter, requested):
    network = Segmenter()
    head = copy(network.classifier)
    report = loaded(network, "segmenter", requested)
    assert report.used == "imagenet"
    assert all(torch.equal(t, segmenter[0][f"features.{n}"]) for n, t in network.backbone.state_dict().items())
    assert same(network.classifier, head)


def test_coco_voc_fills_all_but_the_heads(segmenter):
    network = Segmenter()
    head = copy(network.classifier[1])
    report = loaded(network, "segmenter", "coco_voc")
    assert report.used == "coco_voc"
    assert same(network.backbone, segmenter[1].backbone.state_dict())
    assert same(network.classifier[0], segmenter[1].classifier[0].state_dict())
    assert same(network.classifier[1], head)


def test_coco_voc_for_a_network_that_has_none_is_refused():
    with pytest.raises(
        WeightsError, match="there are no COCO/VOC weights for tiny, only for segmentation models of torchvision"
    ):
        loaded(Tiny(), "tiny", "coco_voc")


def test_weights_that_are_evaluated_bring_their_heads(segmenter):
    network = Segmenter(21)
    report = loaded(network, "segmenter", "coco_voc", whole=True)
    assert same(network, segmenter[1].state_dict())
    assert report.note == "segmenter starts from COCO/VOC weights (voc-01234567.pth)"
    network = Segmenter(19)
    before = copy(network)
    for partial in (False, True):  # a head that knows nothing must not be scored
        with pytest.raises(
            WeightsError, match=r"head \(classifier\.1\) predicts 21 classes, and model\.label_space has 19"
        ):
            loaded(network, "segmenter", "coco_voc", whole=True, partial=partial)
    assert same(network, before)


def test_without_its_weights_nothing_can_be_evaluated(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"tiny-01234567\.pth$"):  # where to put it, and no advice to do without
        loaded(Tiny(), "tiny", "imagenet", whole=True)


def test_partly_matching_weights_are_loaded_where_asked_and_listed(tmp_path):
    source, network = Tiny(width=4), Tiny(width=4)
    state = source.state_dict()
    del state["head.bias"]
    state["body.1.weight"] = torch.ones(5)
    state["extra.weight"] = torch.ones(1)
    before, path = copy(network), saved(tmp_path, state)
    with pytest.raises(WeightsError, match=r"missing head\.bias; unexpected extra.*with model\.partial=true what fits"):
        loaded(network, "tiny", path)
    report = loaded(network, "tiny", path, partial=True)
    assert (
        "left as it was: missing head.bias; unexpected extra.weight; body.1.weight is 5, the network's is 4"
        in report.note
    )
    for name in ("head.bias", "body.1.weight"):
        assert torch.equal(network.state_dict()[name], before[name])
    assert torch.equal(network.head.weight, source.head.weight)
    network.load_state_dict(before)
    with pytest.raises(WeightsError, match=r"missing head\.bias; unexpected extra\.weight; [^;]* has 9$"):  # the head
        loaded(network, "tiny", path, whole=True, partial=True)
    assert same(network, before)
    state["head.bias"] = before["head.bias"]
    assert "body.1.weight" in loaded(network, "tiny", saved(tmp_path, state), whole=True, partial=True).note
    nothing = saved(tmp_path, {"other": torch.ones(1)})
    with pytest.raises(WeightsError, match="does not fit the network: missing body"):
        loaded(network, "tiny", nothing, partial=True)


def test_layers_that_only_training_uses_and_the_network_lacks_are_left_out(tmp_path):
    source, network = Tiny(), Tiny()
    state = source.state_dict() | {"aux_classifier.weight": torch.ones(3, 4)}
    report = loaded(network, "mine", saved(tmp_path, state))
    assert same(network, source.state_dict())
    assert report.note.endswith("; left out aux_classifier, which only training uses and the network lacks")


def test_weights_that_lack_the_first_part_of_the_networks_names_are_its_backbone(tmp_path):
    source, network = Segmenter(), Segmenter()
    head = copy(network.classifier)
    backbone = {f"module.encoder.{name}": tensor for name, tensor in source.backbone.state_dict().items()}
    path = saved(tmp_path, {"model_state": backbone, "epoch": 3})
    with pytest.raises(
        WeightsError, match=r"missing classifier\.0\.weight.*7 of the network's 11 tensors fit.*model\.partial=true"
    ):
        loaded(network, "mine", path)
    report = loaded(network, "mine", path, partial=True)
    assert same(network.backbone, source.backbone.state_dict())
    assert same(network.classifier, head)
    assert "left as it was: missing classifier.0.weight" in report.note


@pytest.mark.parametrize(
    "key", ["net", "ema", "state_dict", "model_state", "params", "model", "model_state_dict", "weights"]
)
def test_a_state_dict_under_any_key_is_found(tmp_path, key):
    source, network = Tiny(), Tiny()
    loaded(network, "tiny", saved(tmp_path, {key: source.state_dict(), "epoch": 3, "args": {"lr": 0.1}}))
    assert same(network, source.state_dict())


def several(first, second, shape):
    """Two sets of weights in one file, as different tools keep them."""
    states = {"teacher": first.state_dict(), "student": second.state_dict()}
    if shape == "nested":
        return {"models": states}
    flat = {f"{who}.{name}": tensor for who, state in states.items() for name, tensor in state.items()}
    return {"state_dict": flat} if shape == "prefixed in a nest" else flat if shape == "prefixed" else states


@pytest.mark.parametrize("shape", ["beside each other", "nested", "prefixed", "prefixed in a nest"])
def test_of_several_state_dicts_the_one_that_is_meant_has_to_be_typed(tmp_path, shape):
    first, second, network = Tiny(), Tiny(), Tiny()
    before, path = copy(network), saved(tmp_path, several(first, second, shape))
    with pytest.raises(WeightsError, match="holds weights for this network several times, under ") as refusal:
        loaded(network, "tiny", path)
    assert same(network, before)
    keys = [key.rstrip(".") for key in str(refusal.value).split("model.weights_key=")[1:]]
    for key, meant in zip((key.removesuffix(" or ") for key in keys), (first, second), strict=True):
        assert loaded(network, "tiny", path, key=key).used == path
        assert same(network, meant.state_dict())
    with pytest.raises(WeightsError, match=r"model\.weights_key=pupil: .* has no such key, but "):
        loaded(network, "tiny", path, key="pupil")


def test_the_only_state_dict_that_fits_is_taken_and_noted(tmp_path):
    generator, network = Tiny(), Tiny()
    other = nn.Sequential(nn.Linear(7, 7)).state_dict()
    path = saved(tmp_path, {"generator": generator.state_dict(), "discriminator": other})
    assert loaded(network, "tiny", path).note == f"tiny starts from {path}, its generator (also there: discriminator)"
    assert same(network, generator.state_dict())


def test_of_another_architecture_every_cause_and_the_names_are_in_the_message(tmp_path):
    state = {f"stage{i}.weight": torch.ones(2) for i in range(30)} | {"body.1.weight": torch.ones(9)}
    with pytest.raises(WeightsError) as refusal:
        loaded(Tiny(), "tiny", saved(tmp_path, {"net": state}))
    for part in (
        "missing body.0.weight, body.0.bias, body.1.bias, body.1.running_mean, body.1.running_var and 2 more",
        "unexpected stage0.weight, stage1.weight, stage2.weight, stage3.weight, stage4.weight and 25 more",
        "body.1.weight is 9, the network's is 4",
        "0 of the network's 9 tensors fit, the file has 31",
        "its names are such as stage0.weight, the network's such as body.0.weight: choose the model= that it was trained with",
    ):
        assert part in str(refusal.value)


def test_a_key_without_a_file_is_refused():
    values = {"name": "tiny", "task": "classification", "weights_key": "ema", "network": {"_target_": "x"}}
    with pytest.raises(SettingsError, match=r"model\.weights_key=ema needs model\.weights=PATH"):
        validated(ModelSettings, values)
