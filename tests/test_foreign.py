"""What was not trained here, as it is typed: weights and masks in another label space, scored as worked out by hand."""

import csv
import functools
import hashlib
import json
import os
import shutil
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.masks import polygon_mask
from datamodules.synthetic.generate import generate
from label_spaces.catalogue import label_table, load
from label_spaces.crosswalk import find
from label_spaces.space import LabelSpace
from lightning_modules.networks.architectures import ARCHITECTURES

LEVEL3, VOC = load("idd_level3"), load("voc21")
DATA = (
    "data=mask_folder",
    "data.num_workers=0",
    "data.image_size=[32,48]",
    "data.batch_size=4",
    "data.eval_batch_size=2",
)
TRAINER = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv")
MODEL = "model=deeplabv3_mobilenet_v3_large"
# Rows of a street: what IDD calls them, and what a predictor says that is perfect in PASCAL VOC's classes.
BANDS = {"sky + fallback background": "background", "road": "background", "car": "car", "person + animal": "person",
         "rider": "person", "autorickshaw": "background", "bus": "bus", None: "border"}  # fmt: skip
ROWS = (8, 8, 4, 3, 2, 3, 2, 2)
HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """One set of pictures twice: with masks of idd_level3's ids, and with masks of voc21's."""
    root = tmp_path_factory.mktemp("streets")
    ours = np.array([LEVEL3.index(name) if name else 255 for name in BANDS], np.uint8).repeat(ROWS)
    theirs = np.array([VOC.index(name) if name in VOC.classes else 255 for name in BANDS.values()], np.uint8).repeat(
        ROWS
    )
    for folder in ("idd/images", "idd/masks", "voc/masks"):
        (root / folder).mkdir(parents=True)
    for i in range(20):
        draws = np.random.default_rng(i)
        picture = draws.normal(np.arange(0, 256, 32).repeat(ROWS)[:, None, None], 12, (HEIGHT, WIDTH, 3))
        picture = picture.clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / "idd/images" / f"{i:02}.png")
        for kind, mask in (("idd", ours), ("voc", theirs)):
            Image.fromarray(np.tile(mask[:, None], (1, WIDTH))).save(root / kind / "masks" / f"{i:02}.png")
    (root / "voc/images").symlink_to(root / "idd/images")
    return root


@pytest.fixture
def masks(streets, tmp_path):
    """A folder of predictions that are perfect in VOC's classes."""
    return shutil.copytree(streets / "voc/masks", tmp_path / "predicted")


def idd(streets, space="idd_level3"):
    return (*DATA, f"data.root={streets / 'idd'}", f"data.label_space={space}")


def scored(answer, split="test"):
    assert answer.code == 0, answer.err
    return json.loads((answer.folder / "evaluation" / split / "scores.json").read_text())


def check_perfect(scores):
    """Persons are 3 rows and riders, taken for persons, 2; sky, road and autorickshaws, 19 rows of 30, are background."""
    found = scores["crossing"]
    assert (found["from"], found["full"]) == ("voc21", ["motorcycle", "bicycle", "car", "bus"])
    assert (found["partly"], found["shared"]) == (["person + animal", "vehicle fallback"], ["rider"])
    assert len(found["no"]) == 26 - 7
    assert found["expressible_share"] == pytest.approx((4 + 3 + 2) / 30)
    assert found["miou_expressible"] == pytest.approx((1 + 1 + 3 / 5) / 3)
    assert found["miou_closed"] == found["miou_common"] == 1
    assert found["instead"]["rider"] == {"person": 1.0}
    assert found["instead"]["autorickshaw"] == {"background": 1.0}
    assert scores["miou"] == pytest.approx((1 + 1 + 3 / 5) / 7)
    assert scores["levels"]["idd_level2"]["crossing"]["miou_closed"] == pytest.approx((1 + 1 + 4 / 7) / 3)
    assert scores["levels"]["idd_level1"]["crossing"]["miou_common"] == pytest.approx((1 + 6 / 9 + 16 / 19) / 3)
    assert scores["loss"] is None
    for name in ("miou_expressible", "miou_closed", "miou_common", "expressible_share"):
        low, high = scores["intervals"][name]
        assert low <= found[name] <= high
    assert {"accuracy", "miou", "fwiou"} < set(scores["intervals"])


def test_perfect_masks_come_to_what_the_table_says(door, streets, masks):
    answer = door("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    scores = scored(answer)
    check_perfect(scores)
    assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (4, 4, 4)
    assert scores["checkpoint"] == {"file": None, "epoch": None, "step": None}
    assert "evaluate_predictions_mask_folder" in answer.folder.name
    assert (
        "This model can say 6 of 26 classes; over those its mIoU is 0.867 [0.867, 0.867]; "
        "70 % of the pixels belong to classes it has no word for."
    ) in answer.out.splitlines()
    assert "note: 16 masks of frames that are not scored are left aside" in answer.out
    with (answer.folder / "evaluation/test/uncrossed.csv").open() as file:
        rows = {row["truth"]: row for row in csv.DictReader(file)}
    assert (len(rows), len(rows["rider"])) == (27, 23)
    assert int(rows["rider"]["person"]) == 4 * 2 * WIDTH
    assert json.loads((answer.folder / "status.json").read_text())["state"] == "finished"
    assert {"config.yaml", "overrides.txt", "environment.json", "split.csv"} <= {
        p.name for p in answer.folder.iterdir()
    }


def test_per_sample_matrices_are_crossed_and_uncrossed(door, streets, masks):
    answer = door("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    facts = np.load(answer.folder / "evaluation/test/per_sample.npz")
    assert facts["count"].sum() == facts["uncrossed_count"].sum() == 4 * HEIGHT * WIDTH
    truth, said = np.divmod(facts["uncrossed_cell"][facts["uncrossed_indptr"][0] : facts["uncrossed_indptr"][1]], 22)
    assert (LEVEL3.index("rider"), VOC.index("person")) in set(zip(truth.tolist(), said.tolist(), strict=True))
    assert (np.diff(facts["indptr"]) == 8).all()


def test_colours_names_and_folders_of_other_tools(door, streets, masks, tmp_path):
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = VOC.colours
    for i, path in enumerate(sorted(masks.iterdir())):
        coloured = palette[np.array(Image.open(path))]
        (masks / "deep" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(coloured).save(masks / "deep" / str(i % 2) / f"{path.stem}_gtFine_labelIds.png")
        path.unlink()
    (masks / "notes.txt").write_text("not a mask")
    answer = door("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    check_perfect(scored(answer))


def test_all_that_is_wrong_with_masks_is_said_at_once(door, streets, masks, tmp_path):
    answer = door("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    names = np.load(answer.folder / "evaluation/test/per_sample.npz")["sample"]
    missing, wrong, sized, broken = (masks / f"{name.split('/')[-1]}" for name in names)
    missing.unlink()
    Image.fromarray(np.full((HEIGHT, WIDTH), 77, np.uint8)).save(wrong)
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(sized)
    broken.write_text("no picture")
    shutil.copy(masks / "00.png" if (masks / "00.png").exists() else masks / "01.png", masks / "stranger.png")
    before = {path.name for path in tmp_path.glob("runs/*/*")}
    answer = door("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    assert answer.code == 2
    for said in (
        "cannot be scored as test of mask_folder",
        f"1 frames have no mask:\n  images/{missing.name}",
        "1 belong to no frame of the dataset:\n  stranger.png",
        f"1 have another size than their frame:\n  {sized.name} (24×16, the frame 48×32)",
        "2 cannot be read or hold what is no class:",
        f"{wrong.name}: it has the ids 77; voc21 knows 0–20, 255",
        f"{broken.name}: ",
    ):
        assert said in answer.err
    assert "Traceback" not in answer.err
    assert {path.name for path in tmp_path.glob("runs/*/*")} == before


def test_masks_at_the_size_that_is_asked_for(door, streets, masks):
    for path in masks.iterdir():
        Image.open(path).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST).save(path)
    typed = (f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    assert door("evaluate", *typed).code == 2
    scores = scored(door("evaluate", *typed, "data.eval_size=[16,24]"))
    assert sum(row["support"] for row in scores["classes"]) == 4 * 15 * 24


def test_masks_in_the_datas_own_classes_need_no_crossing(door, streets):
    typed = (f"predictions={streets / 'idd/masks'}", "predictions_label_space=idd_level3")
    scores = scored(door("evaluate", *typed, *idd(streets), *TRAINER, "split=val"), "val")
    assert scores["crossing"] is None
    assert scores["miou"] == 1


def test_a_crosswalk_of_ones_own(door, streets, masks, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("source,target\n" + "".join(f"{name},{'road' if name == 'car' else ''}\n" for name in VOC.classes))
    typed = (f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    found = scored(door("evaluate", *typed, f"crosswalk={path}"))["crossing"]
    assert (found["full"], found["miou_expressible"]) == (["road"], 0)
    path.write_text("source,target\ncar,street\n")
    answer = door("evaluate", *typed, f"crosswalk={path}")
    assert answer.code == 2
    assert "mine.csv, line 2: idd_level3 has no 'street'" in answer.err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["predictions=nowhere", "predictions_label_space=voc21"], "there is no such folder"),
        (["predictions=."], "predictions_label_space=NAME, such as voc21"),
        (["predictions=.", "predictions_label_space=voc12"], "no label space 'voc12'"),
        (["predictions_label_space=voc21"], "predictions is missing"),
        (["predictions=.", "predictions_label_space=voc21", MODEL], "makes no sense with model="),
        (
            ["predictions=.", "predictions_label_space=voc21", "evaluation.flip=true"],
            "makes no sense with evaluation.flip=",
        ),
        (
            ["predictions=.", "predictions_label_space=voc21", "data=image_folder"],
            "data=image_folder has none to score them with. Type data=idd",
        ),
        (["predictions=.", "run=."], "predictions= makes no sense with run="),
        (
            ["predictions=.", "predictions_label_space=idd_level1"],
            "no crosswalk from idd_level1 to idd_level3; write one",
        ),
        ([MODEL, "model.weights=none"], "has no word for any class yet"),
        (["model=resnet18", "model.weights=imagenet", "data=synthetic_idd"], "for segmentation only"),
        ([MODEL, "model.weights=absent.pt"], "Type model.label_space=NAME, such as voc21"),
        ([MODEL, "model.weights=absent.pt", "model.label_space=voc21"], "absent.pt: no such file"),
        ([MODEL], "run is missing"),
    ],
)
def test_wrong_requests_leave_nothing(door, streets, tmp_path, typed, says):
    answer = door("evaluate", *idd(streets), *TRAINER, *typed)
    assert answer.code == 2, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def foreigner(door, streets):
    """A checkpoint that was trained on masks of VOC's classes."""
    answer = door("train", MODEL, "model.weights=none", *DATA, f"data.root={streets / 'voc'}", "data.label_space=voc21", *TRAINER,
                  "trainer.max_epochs=1")  # fmt: skip
    assert answer.code == 0, answer.err
    return answer.folder / "checkpoints/best.ckpt"


def test_weights_from_elsewhere(door, streets, foreigner, tmp_path):
    typed = (MODEL, f"model.weights={foreigner}", "model.label_space=voc21", *idd(streets), *TRAINER)
    answer = door("evaluate", *typed, "report.predictions=true")
    scores = scored(answer)
    assert "evaluate_deeplabv3_mobilenet_v3_large_mask_folder" in answer.folder.name
    assert scores["checkpoint"] == {"file": "best.ckpt", "epoch": None, "step": None}
    assert (scores["n_expected"], scores["n_unique"], scores["loss"]) == (4, 4, None)
    assert scores["crossing"]["from"] == "voc21"
    assert "This model can say 6 of 26 classes" in answer.out
    # The masks that are written are in the data's classes: scored as such, they come to the same matrix.
    written = answer.folder / "evaluation/test/predictions/ids"
    again = door("evaluate", f"predictions={written}", "predictions_label_space=idd_level3", *idd(streets), *TRAINER)
    assert scored(again)["classes"] == scores["classes"]
    # What it said is what it says as a run of its own, counted in VOC's classes.
    own = door("evaluate", f"run={foreigner.parents[1]}", *TRAINER)
    with (own.folder / "evaluation/test/confusion.csv").open() as file:
        said = {
            name: sum(int(row[name]) for row in rows) for rows in [list(csv.DictReader(file))] for name in VOC.classes
        }
    with (answer.folder / "evaluation/test/uncrossed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {name: sum(int(row[name]) for row in rows) for name in VOC.classes} == said


def test_any_state_dict_and_what_does_not_fit(door, streets, foreigner, tmp_path):
    state = torch.load(foreigner, weights_only=True)["state_dict"]
    state = {f"module.{name.removeprefix('network.')}": tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "plain.pt")
    typed = (MODEL, f"model.weights={tmp_path / 'plain.pt'}", *idd(streets), *TRAINER)
    assert scored(door("evaluate", *typed, "model.label_space=voc21"))["crossing"]["from"] == "voc21"
    answer = door("evaluate", *typed, "model.label_space=cityscapes19")
    assert answer.code == 2
    assert "its head (classifier.4) says 21 classes, and model.label_space has 19" in answer.err
    # Many publish weights without the head that only training uses.
    state = {name: tensor for name, tensor in state.items() if "aux_classifier" not in name}
    torch.save(state, tmp_path / "plain.pt")
    answer = door("evaluate", *typed, "model.label_space=voc21")
    assert scored(answer)["crossing"]["from"] == "voc21"
    assert "aux_classifier, which only training uses, is not in it" in answer.out
    first = next(name for name in state if name.startswith("module.backbone"))
    torch.save({name: tensor for name, tensor in state.items() if name != first}, tmp_path / "plain.pt")
    answer = door("evaluate", *typed, "model.label_space=voc21")
    assert answer.code == 2
    assert f"missing {first.removeprefix('module.')}" in answer.err
    assert "model.partial=true" in answer.err
    answer = door("evaluate", *typed, "model.label_space=voc21", "model.partial=true")
    assert scored(answer)["crossing"]["from"] == "voc21"
    assert f"left as it was: missing {first.removeprefix('module.')}" in answer.out


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the test's output quiet."""


def test_published_weights_are_fetched_or_said_to_be_missing(door, streets, foreigner, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = torch.load(foreigner, weights_only=True)["state_dict"]
    published = tmp_path / "published.pth"
    torch.save({name.removeprefix("network."): tensor for name, tensor in state.items()}, published)
    name = f"voc-{hashlib.sha256(published.read_bytes()).hexdigest()[:8]}.pth"
    published.rename(tmp_path / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    known = replace(
        ARCHITECTURES["deeplabv3_mobilenet_v3_large"], coco_voc=f"http://127.0.0.1:{server.server_port}/{name}"
    )
    monkeypatch.setitem(ARCHITECTURES, "deeplabv3_mobilenet_v3_large", known)
    typed = (MODEL, "model.weights=coco_voc", *idd(streets), *TRAINER)
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        answer = door("evaluate", *typed)
        server.shutdown()
        thread.join()
    scores = scored(answer)
    assert (scores["crossing"]["from"], scores["checkpoint"]["file"]) == ("voc21", name)
    assert json.loads((answer.folder / "environment.json").read_text())["weights"]["used"] == "coco_voc"
    (tmp_path / "torch/hub/checkpoints" / name).unlink()
    answer = door("evaluate", *typed)
    assert answer.code == 2
    assert f"put it at {tmp_path / 'torch/hub/checkpoints' / name}" in answer.err


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Streets in IDD's layout, and their masks in foreign classes: `said("voc21")` is a folder of these."""
    root = tmp_path_factory.mktemp("synthetic")
    generate(root / "idd", seed=3, drives=10, frames_per_drive=4)

    def said(name):
        if (root / name).exists():
            return root / name
        space = load(name)
        labels = label_table("idd_level3").classes
        words = dict.fromkeys(labels, 0 if name == "voc21" else space.void)  # VOC calls the rest background
        for index, link in enumerate(find(space, LEVEL3).links):
            words.update({labels[label]: index for label in link.labels})
        foreign = LabelSpace(name, space.classes, labels=words)
        for path in sorted((root / "idd/gtFine").rglob("*.json")):
            mask = polygon_mask(path, foreign)
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
    return root / "idd", said, pixels


def of_synthetic(root, space):
    return (
        "data=idd",
        f"data.root={root}",
        "data.num_workers=0",
        "data.image_size=[48,80]",
        f"data.label_space={space}",
    )


def test_perfect_in_voc_on_synthetic_streets_is_what_the_table_says(door, synthetic):
    root, said, pixels = synthetic
    typed = (f"predictions={said('voc21') / 'masks'}", "predictions_label_space=voc21", *TRAINER)
    found = scored(door("evaluate", *typed, *of_synthetic(root, "idd_cityscapes18")), "val")["crossing"]
    assert found["miou_common"] == found["miou_closed"] == 1
    persons = pixels["person"] / (pixels["person"] + pixels["rider"])
    others = [1 for label in ("car", "bus", "motorcycle", "bicycle", "train") if pixels[label]]
    assert pixels["person"] > 0
    assert pixels["rider"] > 0
    assert found["miou_expressible"] == pytest.approx((persons + sum(others)) / (1 + len(others)))
    found = scored(door("evaluate", *typed, *of_synthetic(root, "idd_level3")), "val")["crossing"]
    living = pixels["person"] + pixels["animal"]
    fallback = sum(pixels[label] for label in ("caravan", "trailer", "train", "vehicle fallback"))
    with_train = [pixels["train"] / fallback] if fallback else []
    ious = [
        living / (living + pixels["rider"]),
        *with_train,
        *[1 for label in ("car", "bus", "motorcycle", "bicycle") if pixels[label]],
    ]
    assert found["miou_expressible"] == pytest.approx(sum(ious) / len(ious))


def test_perfect_in_cityscapes_on_synthetic_streets_is_what_the_table_says(door, synthetic):
    root, said, pixels = synthetic
    typed = (f"predictions={said('cityscapes19') / 'masks'}", "predictions_label_space=cityscapes19", *TRAINER)
    for space in ("idd_cityscapes18", "idd_cityscapes19"):
        found = scored(door("evaluate", *typed, *of_synthetic(root, space)), "val")["crossing"]
        assert found["miou_common"] == found["miou_closed"] == found["miou_expressible"] == 1
    answer = door("evaluate", *typed, *of_synthetic(root, "idd_level3"))
    assert "best checkpoint" not in answer.out  # nothing is trained
    found = scored(answer, "val")["crossing"]
    classes = LEVEL3.labels
    mute = [
        name for name in found["no"] if any(pixels[label] for label in pixels if classes[label] == LEVEL3.index(name))
    ]
    assert set(found["instead"]) == set(mute)
    assert all(said == {"void": 1.0} for said in found["instead"].values())
    share = sum(
        n for label, n in pixels.items() if classes[label] != LEVEL3.void and LEVEL3.classes[classes[label]] not in mute
    )
    assert found["expressible_share"] == pytest.approx(
        share / sum(n for label, n in pixels.items() if classes[label] != LEVEL3.void)
    )


@pytest.mark.slow
@pytest.mark.parametrize("space", ["voc21", "cityscapes19"])
def test_a_model_trained_here_is_a_foreigner_to_idd(door, synthetic, space):
    root, said, _ = synthetic
    answer = door("train", MODEL, "model.weights=none", "data=mask_folder", f"data.root={said(space)}", f"data.label_space={space}",
                  "data.num_workers=0", "data.image_size=[48,80]", "data.batch_size=4", "trainer.max_epochs=2", *TRAINER)  # fmt: skip
    assert answer.code == 0, answer.err
    weights = (f"model.weights={answer.folder / 'checkpoints/best.ckpt'}", f"model.label_space={space}")
    data = (*of_synthetic(root, "idd_level3"), "data.eval_size=[48,80]", "data.eval_batch_size=2")
    answer = door("evaluate", MODEL, *weights, *data, *TRAINER)
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


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_masks_of_the_genuine_idd_lite_and_a_broken_copy(door, tmp_path):
    root = Path(os.environ["REAL_DATA"]) / "idd20k_lite"
    for path in (root / "gtFine/val").rglob("*_label.png"):
        if not path.name.endswith("_inst_label.png"):
            (tmp_path / "masks" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "masks" / path.parent.name / path.name)
    files = sorted((tmp_path / "masks").rglob("*.png"))
    typed = (
        f"predictions={tmp_path / 'masks'}",
        "predictions_label_space=idd_lite",
        "data=idd_lite",
        f"data.root={root}",
    )
    scores = scored(door("evaluate", *typed, *TRAINER), "val")
    assert (scores["miou"], scores["n_unique"], scores["crossing"]) == (1, 109, None)
    files[0].rename(files[0].with_name("stranger_label.png"))
    Image.open(files[1]).resize((640, 454), Image.Resampling.NEAREST).save(files[1])
    Image.fromarray(np.full((227, 320), 9, np.uint8)).save(files[2])
    answer = door("evaluate", *typed, *TRAINER)
    assert answer.code == 2
    for said in ("1 belong to no frame", "1 frames have no mask", "640×454, the frame 320×227", "it has the ids 9"):
        assert said in answer.err
