"""Which task data is explored for, and what is refused before torch is imported."""

import pytest

from entry.config.exploration import settings_of
from entry.errors import RequestError
from tests.entry.config.test_resolve import request


def explored(tmp_path, *typed):
    return settings_of(request(tmp_path, *typed, name="explore"))


@pytest.mark.parametrize(
    ("typed", "task"),
    [
        ((), "segmentation"),  # the embedded streets serve both
        (("task=classification",), "classification"),
        (("model=resnet18",), "classification"),
        (("experiment=q2_resnet18",), "classification"),
        (("model=deeplabv3_resnet50", "model.weights=none"), "segmentation"),
    ],
)
def test_masks_come_first_unless_a_task_or_a_model_is_typed(tmp_path, typed, task):
    assert explored(tmp_path, *typed).model.task == task


def test_images_in_folders_have_one_task(tmp_path):
    assert explored(tmp_path, "data=image_folder", f"data.root={tmp_path}").model.task == "classification"
    with pytest.raises(RequestError, match="task=segmentation: data=image_folder serves classification only"):
        explored(tmp_path, "data=image_folder", f"data.root={tmp_path}", "task=segmentation")


def test_a_task_that_is_not_the_models_is_refused(tmp_path):
    with pytest.raises(RequestError, match="task=segmentation: model=resnet18 does classification"):
        explored(tmp_path, "model=resnet18", "task=segmentation")


def test_keys_without_effect_are_named(tmp_path, capsys):
    explored(tmp_path, "trainer.max_epochs=3", "aug=road")
    assert capsys.readouterr().out == "note: without effect on exploring data: trainer.max_epochs\n"
