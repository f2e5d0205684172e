"""Which classes external weights or masks have, and the crosswalk to those of the data."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from entry.builders.crosswalk import crosswalk_of, external_space, own_space
from entry.errors import RequestError
from label_spaces.catalogue import load
from label_spaces.space import LabelSpace, LabelSpaceError
from run_folder import RunFolder, write_json


def settings(predictions=None, named=None, crosswalk=None, weights="auto", label_space=None):
    model = SimpleNamespace(weights=weights, onnx=None, label_space=label_space)
    names = {"predictions": predictions, "predictions_label_space": named, "predictions_void_ids": None}
    return SimpleNamespace(**names, crosswalk=crosswalk, model=model, data=SimpleNamespace(name="mask_folder"))


OWN = LabelSpace("mask_folder", ("sky", "road", "car"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (settings("masks", "cityscapes19"), "cityscapes19"),
        (settings(weights="a.pt", label_space="voc21"), "voc21"),
        (settings(weights="coco_voc"), "voc21"),  # known for these
    ],
)
def test_the_label_space_is_named_or_known(given, name):
    assert external_space(given, OWN) == load(name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (settings("masks"), "predictions=masks: which classes are the masks of.*, predictions_label_space=NAME"),
        (settings(weights="a.pt"), r"model\.weights=a\.pt: which classes does this model.*, model\.label_space=NAME"),
    ],
)  # fmt: skip
def test_a_label_space_that_is_not_known_must_be_typed(given, message):
    with pytest.raises(RequestError, match=message):
        external_space(given, OWN)


def test_the_same_classes_need_no_crosswalk_others_have_the_shipped_one():
    idd, voc = load("idd_level3"), load("voc21")
    assert crosswalk_of(settings(), idd, load("idd_level3")) is None
    found = crosswalk_of(settings(), voc, idd)
    assert idd.classes[found.mapping[voc.classes.index("bus")]] == "bus"
    assert found.mapping[voc.classes.index("sofa")] == idd.void


def test_a_crosswalk_of_ones_own_is_read_instead(tmp_path):
    idd, voc = load("idd_level3"), load("voc21")
    rows = "".join(f"{name},{'road' if name == 'sofa' else ''}\n" for name in voc.classes)
    (tmp_path / "own.csv").write_text(f"source,target\n{rows}")
    mapping = crosswalk_of(settings(crosswalk=str(tmp_path / "own.csv")), voc, idd).mapping
    assert mapping[voc.classes.index("sofa")] == idd.classes.index("road")
    assert {mapping[voc.classes.index(name)] for name in voc.classes if name != "sofa"} == {idd.void}


def test_the_ids_of_the_masks_name_label_spaces_that_fit(tmp_path):
    Image.fromarray(np.array([[7, 8, 11, 33]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        RequestError, match=r"Their ids \(7, 8, 11, 33\) fit predictions_label_space=cityscapes_labels, "
    ):
        external_space(settings(str(tmp_path)), OWN)


def test_the_datas_own_ids_come_first(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(
        RequestError,
        match=r"predictions_label_space=data for the classes of data=mask_folder \(sky, road, car\).*fit predictions_label_space=data, ",
    ):
        external_space(settings(str(tmp_path)), OWN)


def test_the_classes_of_the_data_have_a_name():
    assert external_space(settings("masks", "data"), OWN) is OWN
    assert external_space(settings(weights="a.pt", label_space="data"), OWN) is OWN


NAMED = {"label_space": "mine", "classes": None, "void_ids": [0]}
DATA = SimpleNamespace(model_dump=lambda **_: NAMED)
FRUIT = LabelSpace(
    "fruit", ("apple", "pear"), ((1, 2, 3), (4, 5, 6)), (5, 7), (9,), ((0, 0, 9),), {8: 1}, {"plum": 2}, important=(1,)
)


@pytest.mark.parametrize(
    "space", [FRUIT, load("idd_level3"), load("idd_labels"), load("voc21"), LabelSpace("a", ("b", "c"))]
)
def test_a_run_keeps_its_label_space_for_the_keys_that_named_it(tmp_path, space):
    folder = RunFolder(tmp_path)
    assert own_space(folder, DATA) is None
    write_json(folder.label_space, {"data": NAMED, "label_space": asdict(space)})
    assert own_space(folder, DATA) == space
    assert own_space(folder, SimpleNamespace(model_dump=lambda **_: {**NAMED, "void_ids": [1]})) is None


@pytest.mark.parametrize(
    "values", [None, [], {}, {"name": "a"}, {"name": "a", "classes": 3}, {"name": "a", "classes": ["b", "b"]}]
)
def test_what_is_no_label_space_is_refused(tmp_path, values):
    folder = RunFolder(tmp_path)
    write_json(folder.label_space, {"data": NAMED, "label_space": values})
    with pytest.raises(LabelSpaceError, match=r"label_space\.json is damaged: not a label space: "):
        own_space(folder, DATA)
