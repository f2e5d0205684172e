"""Predictions of images without truth, by a network that predicts the same for every image."""

import json
import math

import pytest
import torch

from datamodules.errors import DatasetError
from datamodules.loading.unlabelled_images import picture_loader
from entry.builders.modules import build_module
from entry.config.resolve import resolved
from entry.errors import IncompleteError, RequestError
from entry.prediction import check_complete, pictures, predict
from label_spaces.space import LabelSpace
from run_files import read_csv
from run_folder import RunFolder
from tests.conftest import make_image_folder
from tests.entry.config.test_resolve import request
from tests.entry.evaluation.test_summary import SCORES

CLASSES = ("blue", "green", "red")


@pytest.fixture
def run(tmp_path):
    """A folder with a checkpoint whose network gives 1/8, 2/8 and 5/8 to the classes, whatever it is shown."""
    settings = resolved(
        request(tmp_path, "data=image_folder", f"data.root={tmp_path}", "data.image_size=[16,16]", "trainer=cpu", "trainer.precision=32-true", "trainer.progress=false", "data.num_workers=0")
    )  # fmt: skip
    folder = RunFolder(tmp_path / "run")
    folder.claim(settings.to_yaml(), [])
    space = LabelSpace("image_folder", CLASSES)
    module, _ = build_module(settings, space, "none")
    state = module.state_dict()
    state["network.classifier.weight"].zero_()
    state["network.classifier.bias"].copy_(torch.tensor([math.log(part) for part in (1, 2, 5)]))
    torch.save(
        {"state_dict": state, "epoch": 0, "global_step": 1, "hyper_parameters": {"label_space": space.name, "classes": list(CLASSES)}},
        folder.checkpoints / "best.ckpt",
    )  # fmt: skip
    return folder, settings


def test_each_readable_picture_has_a_row_and_the_others_a_reason(run, tmp_path):
    folder, settings = run
    source = make_image_folder(tmp_path / "new", per_class=2)
    (source / "red" / "broken.jpg").write_text("not a picture")
    asked = request(tmp_path, f"run={folder.path}", f"source={source}", name="predict")
    paths = pictures(asked)
    assert len(paths) == 7
    target, unreadable, _ = predict(asked, folder, settings, paths)
    assert [path.name for path in unreadable] == ["broken.jpg"]
    rows = read_csv(target / "predictions.csv")
    assert [row["file"] for row in rows] == [str(path) for path in paths if path.name != "broken.jpg"]
    for row in rows:
        assert row["label"] == "red"
        assert [float(row[name]) for name in ("probability", *CLASSES)] == pytest.approx([5 / 8, 1 / 8, 2 / 8, 5 / 8])


def test_nothing_readable_leaves_no_table(run, tmp_path):
    folder, settings = run
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a picture")
    asked = request(tmp_path, f"run={folder.path}", f"source={broken}", name="predict")
    target, unreadable, _ = predict(asked, folder, settings, pictures(asked))
    assert list(unreadable) == [broken]
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(None, [16, 16]), ({"resolution": [24, 32]}, [24, 32]), ({"resolution": None}, [16, 16]), ({}, [16, 16])],
)
def test_pictures_are_predicted_at_the_size_of_the_evaluation(run, tmp_path, monkeypatch, policy, expected):
    folder, settings = run
    if policy is not None:
        folder.evaluation("val").mkdir(parents=True)
        (folder.evaluation("val") / "scores.json").write_text(json.dumps({**SCORES, "policy": policy}))
    sizes = []
    monkeypatch.setattr(
        "entry.prediction.picture_loader",
        lambda paths, size, *rest: sizes.append([*size]) or picture_loader(paths, size, *rest),
    )
    source = make_image_folder(tmp_path / "new", per_class=1)
    asked = request(tmp_path, f"run={folder.path}", f"source={source}", name="predict")
    predict(asked, folder, settings, pictures(asked))
    assert sizes == [expected]


def test_a_source_must_be_typed_and_hold_pictures(tmp_path):
    with pytest.raises(RequestError, match="source is missing"):
        pictures(request(tmp_path, name="predict"))
    with pytest.raises(DatasetError, match="there is no such file or folder"):
        pictures(request(tmp_path, f"source={tmp_path / 'absent'}", name="predict"))


def test_other_files_in_a_source_are_named(tmp_path, capsys):
    source = make_image_folder(tmp_path / "new", per_class=1)
    assert pictures(request(tmp_path, f"source={source}", name="predict"))
    assert capsys.readouterr().out == ""
    (source / "x.heic").touch()
    pictures(request(tmp_path, f"source={source}", name="predict"))
    assert capsys.readouterr().out.startswith(
        f"note: source={source} holds other files too. Found there: HEIC pictures, which cannot be read (1). Convert them"
    )


@pytest.mark.parametrize(("count", "named", "more"), [(1, 1, None), (20, 20, None), (23, 20, "  … and 3 more")])
def test_unreadable_pictures_are_named_up_to_twenty(tmp_path, count, named, more):
    with pytest.raises(IncompleteError) as error:
        check_complete({tmp_path / f"{i}.jpg": f"{i}.jpg is broken" for i in range(count)}, 30)
    first, *lines = str(error.value).splitlines()
    assert first == f"{count} of 30 images could not be read; the others are predicted."
    assert lines == [*(f"  {i}.jpg is broken" for i in range(named)), *([] if more is None else [more])]


@pytest.mark.parametrize(
    ("count", "first"), [(1, "The image could not be read."), (2, "None of the 2 images could be read.")]
)
def test_where_none_could_be_read_none_is_predicted(tmp_path, count, first):
    with pytest.raises(IncompleteError, match=f"^{first}\n  broken"):
        check_complete({tmp_path / f"{i}.jpg": "broken" for i in range(count)}, count)


def test_no_error_where_all_were_read():
    check_complete({}, 30)
