"""Requests to evaluate what was not made here; that they are refused without torch is tested in tests/entry/cli/test_refusals.py."""

import pytest

from entry.config.external import external_kind, settings_of_predictions, settings_of_weights
from entry.errors import RequestError
from tests.entry.config.test_resolve import request

DATA = ("data=mask_folder", "data.classes=[road,sky]")
MODEL = "model=deeplabv3_mobilenet_v3_large"


def asked(tmp_path, *typed):
    return request(tmp_path, *typed, f"data.root={tmp_path}", name="evaluate")


def test_what_is_used_is_kept(tmp_path):
    weights = settings_of_weights(asked(tmp_path, MODEL, "model.weights=coco_voc", *DATA, "evaluation.flip=true"))
    assert (weights.model.weights, weights.evaluation.flip) == ("coco_voc", True)
    masks = settings_of_predictions(
        asked(tmp_path, f"predictions={tmp_path}", "predictions_label_space=voc21", *DATA, "logger=csv")
    )
    assert (masks.predictions, masks.model.name) == (str(tmp_path), "predictions")


@pytest.mark.parametrize(
    ("read", "typed", "message"),
    [
        (settings_of_weights, (MODEL, "model.weights=coco_voc", *DATA, "optimizer.lr=1"), r"model\.weights= makes no sense with optimizer\.lr=: they are evaluated as they are"),
        (settings_of_weights, ("model.weights=coco_voc",), "model=custom_cnn does classification; external weights can be evaluated for segmentation only"),
        (settings_of_weights, (MODEL, "model.weights=none", *DATA), r"model\.weights=none: such a network cannot predict any class yet"),
        (settings_of_predictions, ("predictions=.", *DATA, "evaluation.flip=true"), r"predictions= makes no sense with evaluation\.flip=: the masks are there already"),
        (settings_of_predictions, ("predictions=.", "data=image_folder"), "data=image_folder has none to score them with"),
        (settings_of_predictions, ("predictions=absent", "predictions_label_space=voc21", *DATA), "predictions=.*absent: there is no such file or folder"),
        (settings_of_predictions, ("predictions=.", "predictions_label_space=voc20", *DATA), "predictions_label_space=voc20: there is no label space"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path, monkeypatch, read, typed, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=message):
        read(asked(tmp_path, *typed))


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (["run=a"], None),
        ([], None),
        (["predictions=masks"], "predictions"),
        (["model.weights=none"], "weights"),  # typed, so it is what is to be evaluated
        (["model.weights=a.pt"], "weights"),
    ],
)
def test_what_is_evaluated(tmp_path, typed, kind):
    assert external_kind(request(tmp_path, *typed, name="evaluate")) == kind


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["run=a", "crosswalk=b.csv"], "crosswalk= makes no sense with run="),
        (["run=a", "predictions=b"], "predictions= makes no sense with run="),
        (["predictions_label_space=voc21"], "predictions is missing"),
    ],
)
def test_keys_that_contradict_are_refused(tmp_path, typed, message):
    with pytest.raises(RequestError, match=message):
        external_kind(request(tmp_path, *typed, name="evaluate"))
