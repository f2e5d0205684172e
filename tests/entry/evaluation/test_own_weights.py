"""What weights of this project were trained on; whole evaluations are in tests/entry/test_external_weights.py."""

from types import SimpleNamespace

import pytest
import torch

from entry.errors import RequestError
from entry.evaluation.own_weights import as_trained, origin_of
from label_spaces.space import LabelSpace

CLASSES = ("road", "sky", "car")


def checkpoint(folder, **facts):
    torch.save({"state_dict": {"network.w": torch.zeros(3)}, **facts}, folder / "best.ckpt")
    return folder / "best.ckpt"


def settings(file):
    return SimpleNamespace(model=SimpleNamespace(onnx=None, weights=str(file), label_space="data"))


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"hyper_parameters": {"lr": 0.1, "classes": 3}},
        {"hyper_parameters": {"label_space": "streets", "classes": 3}},
        {"hyper_parameters": {"label_space": "streets", "classes": ["road", 7, "car"]}},
        {"hyper_parameters": [1]},
    ],
)
def test_files_of_other_tools_have_no_origin(tmp_path, facts):
    file = checkpoint(tmp_path, **facts)
    assert origin_of(file) is None
    assert as_trained(settings(file), LabelSpace("data", CLASSES)) == (settings(file), "")
    assert origin_of(file.rename(tmp_path / "weights.pt")) is None
    assert origin_of(tmp_path / "absent.ckpt") is None


def test_a_file_of_before_torch_1_6_which_cannot_be_mapped_has_no_origin(tmp_path):
    content = {"state_dict": {"network.w": torch.zeros(3)}}
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert origin_of(tmp_path / "old.ckpt") is None


def test_the_order_of_the_classes_is_the_checkpoints(tmp_path):
    file = checkpoint(tmp_path, hyper_parameters={"label_space": "streets", "classes": [*CLASSES]})
    origin = origin_of(file)
    assert (origin.label_space, origin.classes, origin.folder) == ("streets", CLASSES, None)
    assert as_trained(settings(file), LabelSpace("data", CLASSES)) == (settings(file), "")
    renamed = as_trained(settings(file), LabelSpace("data", ("road", "sky", "vehicle")))
    assert renamed == (settings(file), "these weights were trained on streets: car is read as vehicle")
    with pytest.raises(RequestError, match=r"streets \(road, sky, car\), in which road, sky have other places than in"):
        as_trained(settings(file), LabelSpace("data", ("sky", "road", "car")))
    with pytest.raises(RequestError, match="in which car have other places"):  # a class before it is left out
        as_trained(settings(file), LabelSpace("data", ("road", "car")))
