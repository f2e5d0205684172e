"""External masks, in another label space, evaluated by command: the scores are worked out by hand."""

import csv
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from entry.external import announce
from label_spaces.crosswalk import Crosswalk, Link
from label_spaces.space import LabelSpace
from tests.entry.conftest import HEIGHT, LEVEL3, MODEL, TRAINER, VOC, WIDTH, check_is_no_run, idd, scored


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
    assert (scores["loss"], scores["policy"]["looks"]) == (None, None)  # unknown for external masks
    for name in ("miou_expressible", "miou_closed", "miou_common", "expressible_share"):
        low, high = scores["intervals"][name]
        assert low <= found[name] <= high
    assert {"accuracy", "miou", "fwiou"} < set(scores["intervals"])


@pytest.fixture(scope="module")
def perfect(run_shared_command, streets):
    """The answer to masks that are perfect in VOC's classes."""
    masks = streets / "voc/masks"
    return run_shared_command(
        "evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER
    )


def test_perfect_masks_have_the_scores_that_follow_from_the_crosswalk(perfect):
    answer, scores = perfect, scored(perfect)
    check_perfect(scores)
    assert (scores["n_expected"], scores["n_seen"], scores["n_unique"]) == (4, 4, 4)
    assert scores["checkpoint"] == {"file": None, "epoch": None, "step": None}
    assert "evaluate_predictions_mask_folder" in answer.folder.name
    assert (
        "This model can express 6 of 26 classes; its mIoU over those is 0.867 [0.867, 0.867]; "
        "70 % of the pixels have classes it cannot express."
    ) in answer.out.splitlines()
    assert "note: 16 masks of frames that are not scored are left aside" in answer.out
    assert " and 1 more (few_groups in scores.json); chance may" in answer.out  # of seven classes in four frames
    with (answer.folder / "evaluation/test/uncrossed.csv").open() as file:
        rows = {row["truth"]: row for row in csv.DictReader(file)}
    assert (len(rows), len(rows["rider"])) == (27, 23)
    assert int(rows["rider"]["person"]) == 4 * 2 * WIDTH
    assert json.loads((answer.folder / "status.json").read_text())["state"] == "finished"
    assert {"config.yaml", "overrides.txt", "environment.json", "split.csv"} <= {
        p.name for p in answer.folder.iterdir()
    }


def test_scores_of_masks_are_no_run(run_command, perfect):
    check_is_no_run(run_command, perfect.folder)


def test_per_sample_matrices_are_crossed_and_uncrossed(perfect):
    facts = np.load(perfect.folder / "evaluation/test/per_sample.npz")
    assert facts["count"].sum() == facts["uncrossed_count"].sum() == 4 * HEIGHT * WIDTH
    truth, predicted = np.divmod(
        facts["uncrossed_cell"][facts["uncrossed_indptr"][0] : facts["uncrossed_indptr"][1]], 22
    )
    assert (LEVEL3.classes.index("rider"), VOC.classes.index("person")) in set(
        zip(truth.tolist(), predicted.tolist(), strict=True)
    )
    assert (np.diff(facts["indptr"]) == 8).all()


def test_colours_names_and_folders_of_other_tools(run_command, streets, masks, tmp_path):
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = VOC.colours
    for i, path in enumerate(sorted(masks.iterdir())):
        coloured = palette[np.array(Image.open(path))]
        (masks / "deep" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(coloured).save(masks / "deep" / str(i % 2) / f"{path.stem}_gtFine_labelIds.png")
        path.unlink()
    (masks / "notes.txt").write_text("not a mask")
    answer = run_command("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    check_perfect(scored(answer))


def test_all_problems_of_masks_are_reported_at_once(run_command, streets, masks, perfect, tmp_path):
    names = np.load(perfect.folder / "evaluation/test/per_sample.npz")["sample"]
    missing, wrong, sized, broken = (masks / f"{name.split('/')[-1]}" for name in names)
    missing.unlink()
    Image.fromarray(np.full((HEIGHT, WIDTH), 77, np.uint8)).save(wrong)
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(sized)
    broken.write_text("no picture")
    shutil.copy(masks / "00.png" if (masks / "00.png").exists() else masks / "01.png", masks / "unknown.png")
    answer = run_command("evaluate", f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    assert answer.code == 2
    for message in (
        "cannot be scored as test of mask_folder",
        f"1 frames have no mask:\n  images/{missing.name}",
        "1 belong to no frame of the dataset:\n  unknown.png",
        f"1 have another size than their frame:\n  {sized.name} (24×16, the frame 48×32)",
        "2 cannot be read or hold what is no class:",
        f"{wrong.name}: it has the ids 77; the ids of voc21 are 0–20, 255",
        f"{broken.name}: ",
    ):
        assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists()


def test_masks_at_a_typed_size(run_command, streets, masks):
    for path in masks.iterdir():
        Image.open(path).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST).save(path)
    typed = (f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    assert run_command("evaluate", *typed).code == 2
    scores = scored(run_command("evaluate", *typed, "data.eval_size=[16,24]"))
    assert sum(row["support"] for row in scores["classes"]) == 4 * 15 * 24


def test_masks_in_the_datas_own_classes_need_no_crossing(run_command, streets):
    typed = (f"predictions={streets / 'idd/masks'}", "predictions_label_space=idd_level3")
    scores = scored(run_command("evaluate", *typed, *idd(streets), *TRAINER, "split=val"), "val")
    assert scores["crossing"] is None
    assert scores["miou"] == 1


def test_a_crosswalk_of_ones_own(run_command, streets, masks, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("source,target\n" + "".join(f"{name},{'road' if name == 'car' else ''}\n" for name in VOC.classes))
    typed = (f"predictions={masks}", "predictions_label_space=voc21", *idd(streets), *TRAINER)
    found = scored(run_command("evaluate", *typed, f"crosswalk={path}"))["crossing"]
    assert (found["full"], found["miou_expressible"]) == (["road"], 0)
    path.write_text("source,target\ncar,street\n")
    answer = run_command("evaluate", *typed, f"crosswalk={path}")
    assert answer.code == 2
    assert "mine.csv, line 2: idd_level3 has no 'street'" in answer.err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["predictions=nowhere", "predictions_label_space=voc21"], "there is no such file or folder"),
        (["predictions=."], "predictions_label_space=NAME, such as voc21"),
        (["predictions=.", "predictions_label_space=voc12"], "no label space 'voc12'"),
        (
            ["predictions=.", "predictions_label_space=19"],
            "predictions_label_space=19: must be a name, or the path of a CSV file",
        ),
        (["predictions=.", "predictions_label_space=[a,b]"], "predictions_label_space=[a,b]: must be a name"),
        (["predictions_label_space=voc21"], "predictions is missing"),
        (["predictions=.", "predictions_label_space=voc21", MODEL], "makes no sense with model="),
        (["predictions=.", "predictions_label_space=voc21", "~model"], "~model: a run needs model."),
        (["predictions=.", "predictions_label_space=voc21", "+model.x=1"], "makes no sense with model.x="),
        (["predictions=.", "predictions_label_space=voc21", "++model.weights=x"], "makes no sense with model.weights="),
        ([MODEL, "model.weights=absent.pt", "model.label_space=21"], "model.label_space=21: must be a name"),
        (
            ["predictions=.", "predictions_label_space=voc21", "evaluation.flip=true"],
            "makes no sense with evaluation.flip=",
        ),
        *(
            (
                ["predictions=.", "predictions_label_space=voc21", typed],
                f"predictions= makes no sense with {typed.split('=')[0]}=",
            )
            for typed in (
                "checkpoint=last",
                "report.predictions=true",
                "trainer.limit_batches=1",
                "trainer.max_epochs=3",
                "optimizer=sgd",
                "loss.name=ohem",
                "aug=road",
                "ema.decay=0.9",
                "report.train_eval=false",
            )
        ),
        *(
            (
                [MODEL, "model.weights=absent.pt", typed],
                f"model.weights= makes no sense with {typed.split('=')[0]}=: they are",
            )
            for typed in ("checkpoint=last", "trainer.max_epochs=3", "optimizer.lr=1", "aug=road")
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
        ([MODEL, "model.weights=none"], "cannot predict any class yet"),
        (["model=resnet18", "model.weights=imagenet", "data=synthetic_idd"], "for segmentation only"),
        ([MODEL, "model.weights=."], ", model.label_space=NAME, such as voc21"),
        ([MODEL, "model.weights=absent.pt", "model.label_space=voc21"], "absent.pt: there is no such file or folder"),
        ([MODEL], "run is missing"),
    ],
)
def test_wrong_requests_leave_nothing(run_command, streets, tmp_path, typed, message):
    answer = run_command("evaluate", *idd(streets), *TRAINER, *typed)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.real_data
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
def test_masks_of_the_genuine_idd_lite_and_a_broken_copy(run_command, tmp_path):
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
    scores = scored(run_command("evaluate", *typed, *TRAINER), "val")
    assert (scores["miou"], scores["n_unique"], scores["crossing"]) == (1, 109, None)
    files[0].rename(files[0].with_name("unknown_label.png"))
    Image.open(files[1]).resize((640, 454), Image.Resampling.NEAREST).save(files[1])
    Image.fromarray(np.full((227, 320), 9, np.uint8)).save(files[2])
    answer = run_command("evaluate", *typed, *TRAINER)
    assert answer.code == 2
    for message in ("1 belong to no frame", "1 frames have no mask", "640×454, the frame 320×227", "it has the ids 9"):
        assert message in answer.err


@pytest.mark.parametrize(("size", "where"), [(None, "their own sizes"), ((32, 48), "48×32")])
def test_what_external_classes_cannot_express_is_named(capsys, size, where):
    def printed():
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    space = LabelSpace("ours", ("sky", "car", "rider", "road"))
    table = SimpleNamespace(indices=lambda split: range(2))
    datamodule = SimpleNamespace(label_space=space, notes=["a mask is odd"], table=table, scored_at=lambda split: size)
    source = LabelSpace("theirs", ("sky", "vehicle"))
    # Of four labels (sky, car, rider, another kind of car) their vehicle stands for two, and counts as the first.
    crosswalk = Crosswalk(source, space, (Link((0,)), Link((1, 2))), (0, 1, 2, 1))
    announce(datamodule, "val", "", crosswalk)
    assert printed() == [
        "note: a mask is odd",
        f"val: 2 frames at {where}, ours",
        "note: theirs can express a part only of car.",
        "note: theirs counts as another class rider.",
        "note: theirs cannot express road.",
    ]
    announce(datamodule, "val", "2 masks are left out", None)
    assert printed() == ["note: a mask is odd", "note: 2 masks are left out", f"val: 2 frames at {where}, ours"]
