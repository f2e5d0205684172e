"""External models on the synthetic streets, whose pixels of each label are counted: masks that are perfect in their own classes, and a network."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from datamodules.files.masks import polygon_mask
from datamodules.synthetic.generate import generate
from label_spaces.catalogue import label_table, load
from label_spaces.crosswalk import find
from label_spaces.space import LabelSpace
from tests.entry.conftest import LEVEL3, MODEL, TRAINER, scored


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Streets in IDD's layout, and their masks in external classes: `masks_in("voc21")` is a folder of these."""
    root = tmp_path_factory.mktemp("synthetic")
    generate(root / "idd", seed=3, drives=10, frames_per_drive=4)

    def masks_in(name):
        if (root / name).exists():
            return root / name
        space = load(name)
        labels = label_table("idd_level3").classes
        indices = dict.fromkeys(labels, 0 if name == "voc21" else space.void)  # VOC calls the rest background
        for index, link in enumerate(find(space, LEVEL3).links):
            indices.update({labels[label]: index for label in link.labels})
        external = LabelSpace(name, space.classes, labels=indices)
        for path in sorted((root / "idd/gtFine").rglob("*.json")):
            mask = polygon_mask(path, external)
            mask[mask == space.void] = 255
            stem = path.name.removesuffix("_gtFine_polygons.json")
            target = root / name / "masks" / path.parent.name / f"{stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(target)
            image = root / name / "images" / path.parent.name / f"{stem}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(next((root / "idd").rglob(f"{path.parent.name}/{stem}_leftImg8bit.jpg")), image)
        return root / name

    pixels = dict.fromkeys(label_table("idd_level3").classes, 0)
    every = LabelSpace("labels", tuple(pixels), labels={label: index for index, label in enumerate(pixels)})
    for path in (root / "idd/gtFine/val").rglob("*.json"):
        counts = np.bincount(polygon_mask(path, every).ravel(), minlength=256)
        pixels = {label: pixels[label] + int(number) for label, number in zip(pixels, counts, strict=False)}
    return root / "idd", masks_in, pixels


def of_synthetic(root, space):
    return (
        "data=idd",
        f"data.root={root}",
        "data.num_workers=0",
        "data.image_size=[48,80]",
        f"data.label_space={space}",
    )


def test_perfect_in_voc_on_synthetic_streets_is_as_the_crosswalk_has_it(run_command, synthetic):
    root, masks_in, pixels = synthetic
    typed = (f"predictions={masks_in('voc21') / 'masks'}", "predictions_label_space=voc21", *TRAINER)
    found = scored(run_command("evaluate", *typed, *of_synthetic(root, "idd_cityscapes18")), "val")["crossing"]
    assert found["miou_common"] == found["miou_closed"] == 1
    persons = pixels["person"] / (pixels["person"] + pixels["rider"])
    others = [1 for label in ("car", "bus", "motorcycle", "bicycle", "train") if pixels[label]]
    assert pixels["person"] > 0
    assert pixels["rider"] > 0
    assert found["miou_expressible"] == pytest.approx((persons + sum(others)) / (1 + len(others)))
    found = scored(run_command("evaluate", *typed, *of_synthetic(root, "idd_level3")), "val")["crossing"]
    living = pixels["person"] + pixels["animal"]
    fallback = sum(pixels[label] for label in ("caravan", "trailer", "train", "vehicle fallback"))
    with_train = [pixels["train"] / fallback] if fallback else []
    ious = [
        living / (living + pixels["rider"]),
        *with_train,
        *[1 for label in ("car", "bus", "motorcycle", "bicycle") if pixels[label]],
    ]
    assert found["miou_expressible"] == pytest.approx(sum(ious) / len(ious))


def test_perfect_in_cityscapes_on_synthetic_streets_is_as_the_crosswalk_has_it(run_command, synthetic):
    root, masks_in, pixels = synthetic
    typed = (f"predictions={masks_in('cityscapes19') / 'masks'}", "predictions_label_space=cityscapes19", *TRAINER)
    for space in ("idd_cityscapes18", "idd_cityscapes19"):
        found = scored(run_command("evaluate", *typed, *of_synthetic(root, space)), "val")["crossing"]
        assert found["miou_common"] == found["miou_closed"] == found["miou_expressible"] == 1
    answer = run_command("evaluate", *typed, *of_synthetic(root, "idd_level3"))
    assert "best checkpoint" not in answer.out  # nothing is trained
    found = scored(answer, "val")["crossing"]
    classes = LEVEL3.labels
    inexpressible = [
        name
        for name in found["no"]
        if any(pixels[label] for label in pixels if classes[label] == LEVEL3.classes.index(name))
    ]
    assert set(found["instead"]) == set(inexpressible)
    assert all(counts == {"void": 1.0} for counts in found["instead"].values())
    share = sum(
        n
        for label, n in pixels.items()
        if classes[label] != LEVEL3.void and LEVEL3.classes[classes[label]] not in inexpressible
    )
    assert found["expressible_share"] == pytest.approx(
        share / sum(n for label, n in pixels.items() if classes[label] != LEVEL3.void)
    )


@pytest.mark.slow
@pytest.mark.parametrize("space", ["voc21", "cityscapes19"])
def test_a_model_of_other_classes_is_evaluated_on_idd_as_external_weights(run_command, synthetic, space):
    root, masks_in, _ = synthetic
    answer = run_command("train", MODEL, "model.weights=none", "data=mask_folder", f"data.root={masks_in(space)}", f"data.label_space={space}",
                  "data.num_workers=0", "data.image_size=[48,80]", "data.batch_size=4", "trainer.max_epochs=2", *TRAINER)  # fmt: skip
    assert answer.code == 0, answer.err
    weights = (f"model.weights={answer.folder / 'checkpoints/best.ckpt'}", f"model.label_space={space}")
    data = (*of_synthetic(root, "idd_level3"), "data.eval_size=[48,80]", "data.eval_batch_size=2")
    answer = run_command("evaluate", MODEL, *weights, *data, *TRAINER)
    scores = scored(answer, "val")
    walk = find(load(space), LEVEL3)
    with (answer.folder / "evaluation/val/uncrossed.csv").open() as file:
        rows = np.array([[int(cell) for cell in list(row.values())[1:]] for row in csv.DictReader(file)])
    crossed = np.zeros((27, 27), np.int64)
    for index, to in enumerate([*walk.mapping, 26]):
        crossed[:, to] += rows[:, index]
    with (answer.folder / "evaluation/val/confusion.csv").open() as file:
        assert [[int(cell) for cell in list(row.values())[1:]] for row in csv.DictReader(file)] == crossed.tolist()
    union = crossed[:26].sum(1) + crossed[:26, :26].sum(0) - crossed.diagonal()[:26]
    ious = (crossed.diagonal()[:26] / np.maximum(union, 1))[union > 0]
    assert scores["miou"] == pytest.approx(ious.mean())
    assert (scores["n_unique"], scores["crossing"]["from"]) == (4, space)
