"""The pictures of a page: its second pass predicts what was scored."""

import base64
import io
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.image_folder import ImageFolderDataModule
from datamodules.mask_folder import MaskFolderDataModule
from entry.evaluation.pictures import frames_to_show, training_batch
from label_spaces.space import LabelSpace
from metrics.per_sample import MaskRecords
from reports.mask_images import colours
from settings.data import DataSettings
from tests.test_segmentation import KEYS


def test_frames_are_chosen_by_the_classes_of_the_data():
    matrices = torch.zeros(2, 3, 4, dtype=torch.int64)
    matrices[0, 0, 2], matrices[1, 1, 0] = 5, 5  # in the model's three classes
    records = MaskRecords(2, 3)
    records.update(index=torch.tensor([7, 9]), matrices=matrices, loss=torch.full((2,), torch.nan))
    assert sorted(frames_to_show(records.counts(), LabelSpace("two", ("a", "b")), [0, 1, 0], 0.5)) == [7, 9]


@pytest.mark.parametrize("masks", [False, True])
def test_the_training_batch_is_that_of_the_first_step(image_folder, mask_folder, tmp_path, masks):
    from albumentations import Compose, HorizontalFlip, VerticalFlip

    keys = {
        "name": "toy",
        "split": {"train": 0.6, "val": 0.2, "test": 0.2},
        "image_size": (32, 48),
        "cache_dir": str(tmp_path),
        "batch_size": 10,
        "eval_batch_size": 10,
    }
    root, make = (mask_folder, MaskFolderDataModule) if masks else (image_folder, ImageFolderDataModule)
    made = DataSettings(root=str(root), classes=["sky", "road", "car"] if masks else None, **keys)
    data = make(made, seed=3, transform=Compose([HorizontalFlip(p=0.5), VerticalFlip(p=0.5)]))
    data.prepare_training()
    states = random.getstate(), torch.get_rng_state().tolist()
    found = training_batch(data)
    assert (random.getstate(), torch.get_rng_state().tolist()) == states
    assert not list(tmp_path.rglob("*.npy"))  # nothing is cached for it
    batch = next(iter(data.training_dataloader(0)))
    assert [name for _, name, _ in found] == [data.names[index] for index in batch["index"]]
    space = data.label_space
    for place, (picture, _, known) in enumerate(found):
        shown = np.array(Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1]))).convert("RGB")).astype(int)
        expected = batch["image"][place].numpy().transpose(1, 2, 0).astype(int)
        if masks:
            mask = batch["target"][place].numpy()
            expected = np.where((mask == space.void)[..., None], expected, expected // 2 + colours(space)[mask] // 2)
        else:
            assert known == space.classes[batch["target"][place]]
        assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.9  # the picture is compressed


def test_a_page_shows_the_masks_that_were_scored(run_command, mask_folder):
    typed = (*KEYS, f"data.root={mask_folder}", "trainer.max_epochs=1", "report.predictions=true")
    answer = run_command("train", *typed, figures=True)
    assert answer.code == 0, answer.err
    place = answer.folder / "evaluation/test"
    page = (place / "report.html").read_text()
    names = np.load(place / "per_sample.npz")["sample"].tolist()
    shown = re.findall(r'<figure id="sample-(\d+)">(.*?)</figure>', page, re.DOTALL)
    assert len(shown) == len(names) == 4
    for row, figure in shown:
        panels = [
            np.array(Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGB"))
            for uri in re.findall('base64,([^"]+)"', figure)
        ]
        (file,) = (place / "predictions/colours").rglob(f"{names[int(row)].rsplit('/', 1)[-1]}")
        predicted = np.array(Image.open(file).convert("RGB"))
        assert np.array_equal(panels[2], predicted)
        truth = np.array(Image.open(mask_folder / "masks" / names[int(row)].rsplit("/", 1)[-1]))
        right = (panels[1] == panels[2]).all(-1) & (truth < 3)
        assert (panels[3][right] == 150).all()
        assert np.array_equal(panels[3][~right & (truth < 3)], predicted[~right & (truth < 3)])
    run = answer.folder
    again = run_command("evaluate", f"run={run}", "report.images=false", figures=True)
    assert again.code == 0, again.err
    assert "data:image" not in (place / "report.html").read_text()
