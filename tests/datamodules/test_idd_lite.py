"""The real IDD-Lite."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.idd_lite import IDDLiteDataModule

# Of train's pixels. Source: EVALUATION's figures for IDD-Lite.
SHARES = {
    "drivable": 0.32, "far objects": 0.26, "sky": 0.19, "roadside objects": 0.11, "vehicles": 0.08, "non-drivable": 0.02,
    "living things": 0.01,
}  # fmt: skip


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_the_genuine_frames(settings):
    root = Path(os.environ["REAL_DATA"]) / "idd20k_lite"
    module = IDDLiteDataModule(
        settings(name="idd_lite", root=str(root), label_space="idd_lite", image_size=(227, 320), eval_batch_size=16)
    )
    module.prepare_training()
    sizes = {split: len(module.indices(split)) for split in ("train", "select", "val", "test")}
    assert sizes["train"] + sizes["select"] == 1403
    assert 110 <= sizes["select"] <= 140
    assert (sizes["val"], sizes["test"], len(module.without_truth)) == (109, 0, 87)
    groups = [{module.table.samples[i].group for i in module.indices(split)} for split in ("train", "select", "val")]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert not module.skipped
    assert module.eval_size == (227, 320)
    pixels = dict(zip(module.label_space.classes, module.class_counts("train"), strict=True))
    for name, share in SHARES.items():
        assert pixels[name] / sum(pixels.values()) == pytest.approx(share, abs=0.01), name
    batch = next(iter(module.evaluation_dataloader("val")))
    assert batch["image"].shape == (16, 3, 227, 320)
    assert batch["target"].shape == (16, 227, 320)
    assert int(batch["target"].max()) <= 7


def test_advice_on_unknown_ids_names_no_label_space_that_is_refused(settings, tmp_path):
    for kind, ending in (("leftImg8bit", "_image.jpg"), ("gtFine", "_label.png")):
        for split in ("train", "val"):
            place = tmp_path / kind / split / f"{split}_drive" / f"1{ending}"
            place.parent.mkdir(parents=True)
            Image.fromarray(np.full((6, 8), 9, np.uint8)).save(place)
    own = settings(name="idd_lite", root=str(tmp_path), label_space="idd_lite", image_size=(6, 8))
    with pytest.raises(DatasetError, match=r"type data\.void_ids=\[9\] if 9 is no class; or name each id") as refused:
        IDDLiteDataModule(own).prepare_training()
    assert "idd_level" not in str(refused.value)
