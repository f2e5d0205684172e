"""The layout of IDD-AW: <split>/<weather>/{rgb,nir,gtSeg}/<sequence>/<frame>_{rgb.png,nir.png,mask.json}."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from datamodules.errors import DatasetError
from datamodules.idd_aw import IDDAWDataModule

HEIGHT, WIDTH = SIZE = (8, 12)
WEATHERS = ("FOG", "LOWLIGHT", "RAIN", "SNOW")
CAR_COLUMNS = {"FOG": 2, "LOWLIGHT": 3, "RAIN": 4, "SNOW": 5}


def outline(label, left, top, right, bottom):
    """A box that Pillow fills up to the corners given."""
    return {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}


@pytest.fixture
def adverse(tmp_path):
    return make_adverse(tmp_path / "IDDAW")


def make_adverse(root):
    for split, sequences in {"train": range(3), "val": range(3, 4), "test": range(4, 5)}.items():
        for place, weather in enumerate(WEATHERS):
            for sequence in (10 * place + number for number in sequences):
                for frame in range(2):
                    files = {kind: root / split / weather / kind / str(sequence) for kind in ("rgb", "nir", "gtSeg")}
                    for folder in files.values():
                        folder.mkdir(parents=True, exist_ok=True)
                    draws = np.random.default_rng([sequence, frame])
                    for kind, channels in (("rgb", (3,)), ("nir", ())):
                        image = draws.integers(0, 256, (*SIZE, *channels), dtype=np.uint8)
                        Image.fromarray(image).save(files[kind] / f"{frame:06}_{kind}.png")
                    things = [outline("sky", 0, 0, 11, 3), outline("road", 0, 4, 11, 7)]
                    things.append(outline("car", 0, 5, CAR_COLUMNS[weather] - 1, 6))
                    polygons = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": things}
                    if split != "test":
                        (files["gtSeg"] / f"{frame:06}_mask.json").write_text(json.dumps(polygons))
    return root


def test_frames_are_read_with_their_weather(adverse, settings):
    module = IDDAWDataModule(settings(name="idd_aw", root=str(adverse), label_space="idd_level3", image_size=SIZE))
    module.prepare_training()
    assert len(module.indices("train")) + len(module.indices("select")) == 24
    assert (len(module.indices("val")), len(module.without_any_truth("test"))) == (8, 8)
    names = [module.table.samples[index].name for index in module.indices("val")]
    assert names[0] == "val/FOG/rgb/3/000000_rgb.png"
    assert module.tags(names) == {"weather": [weather for weather in WEATHERS for _ in range(2)]}
    pixels = dict(zip(module.label_space.classes, module.class_counts("val"), strict=True))
    cars = 2 * 2 * sum(CAR_COLUMNS.values())
    assert {name: count for name, count in pixels.items() if count} == {
        "road": 8 * 48 - cars,
        "car": cars,
        "sky + fallback background": 8 * 48,
    }


def test_incomplete_frames_are_named(adverse, settings):
    (adverse / "val/FOG/rgb/3/000001_rgb.png").unlink()
    (adverse / "train/RAIN/gtSeg/20/000000_mask.json").unlink()
    module = IDDAWDataModule(settings(name="idd_aw", root=str(adverse), label_space="idd_level3", image_size=SIZE))
    with pytest.raises(DatasetError) as refused:
        module.prepare_training()
    assert "val/FOG/gtSeg/3/000001_mask.json: has no frame" in str(refused.value)
    assert "train/RAIN/rgb/20/000000_rgb.png: has no polygon file" in str(refused.value)
    with pytest.raises(DatasetError, match="has no frames"):
        IDDAWDataModule(settings(name="idd_aw", root=str(adverse / "val"), label_space="idd_level3")).prepare_training()


def test_masks_are_scored_by_weather(adverse, tmp_path, run_command):
    """Predictions without the cars, called as the frames are without ``_rgb``."""
    predicted = np.full(SIZE, 25, np.uint8)  # sky of idd_level3
    predicted[4:] = 0
    for file in adverse.glob("val/*/rgb/*/*.png"):
        folder = tmp_path / "masks" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(predicted).save(folder / file.name.replace("_rgb", "_label"))
    answer = run_command(
        "evaluate", f"predictions={tmp_path / 'masks'}", "predictions_label_space=idd_level3", "data=idd_aw",
        f"data.root={adverse}", "split=val", f"data.cache_dir={tmp_path / 'cache'}", "report.html=false",
        f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert answer.code == 0, answer
    scores = json.loads((tmp_path / "run/evaluation/val/scores.json").read_text())
    assert scores["safe_miou"] < scores["miou_present"]
    with (tmp_path / "run/evaluation/val/slices.csv").open() as file:
        rows = {row["value"]: row for row in csv.DictReader(file) if row["slice"] == "weather"}
    assert [*rows] == list(WEATHERS)
    for weather, columns in CAR_COLUMNS.items():
        truth = predicted.copy()
        truth[5:7, :columns] = 9
        expected = jaccard_score(truth.ravel(), predicted.ravel(), average="macro")
        assert float(rows[weather]["miou_present"]) == pytest.approx(expected)
        assert rows[weather]["n_samples"] == "2"
