"""The pictures of a page: its second pass predicts what was scored."""

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from entry.evaluation.pictures import frames_to_show
from metrics.per_sample import MaskRecords
from tests.test_segmentation import KEYS


def test_frames_are_chosen_by_the_classes_of_the_data():
    matrices = torch.zeros(2, 3, 4, dtype=torch.int64)
    matrices[0, 0, 2], matrices[1, 1, 0] = 5, 5  # in the model's three classes
    records = MaskRecords(2, 3)
    records.update(index=torch.tensor([7, 9]), matrices=matrices, loss=torch.full((2,), torch.nan))
    assert sorted(frames_to_show(records.counts(), [0, 1, 0], 0.5)) == [7, 9]


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
