"""Each wrong value is answered by its key as typed, its value and what is legal; several are answered together."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from settings.base import Legal, Number, Positive, Size
from settings.errors import SettingsError, keys_of, legal
from settings.run import RunSettings, validated
from tests.settings.conftest import SEGMENTS, changed

NAN = float("nan")
SPLIT = "must be fractions of train, val and test that add to 1, such as {train:0.7,val:0.1,test:0.2}, official, folders, the path of a CSV, or lists such as sets/{split}.txt."
SIZE = "must be [height,width], two positive whole numbers of pixels"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1: must be a whole number of at least 0 and at most 4294967295."),
        ({"seed": "x"}, "seed=x: must be a whole number"),
        ({"model.weights": "https://example.org/a.pth"}, "model.weights=https://example.org/a.pth: it is an address, and files are read. Download it first"),
        ({"data.root": ["/a", "s3://bucket/b"]}, 'data.root=[/a,"s3://bucket/b"]: it is an address'),
        ({"seed": None}, "seed=null: must be a whole number"),
        ({"seed": 2**32}, "seed=4294967296: must be a whole number of at least 0 and at most 4294967295."),
        ({"trainer.max_epochs": 0}, "trainer.max_epochs=0: must be a whole number of at least 1."),
        ({"trainer.limit_batches": 0.5}, "trainer.limit_batches=0.5: must be a whole number of at least 1 or null."),
        ({"trainer.deterministic": "maybe"}, "trainer.deterministic=maybe: must be true or false."),
        ({"trainer.sync_batchnorm": 1}, "trainer.sync_batchnorm=1: must be true or false."),
        ({"trainer.progress": "no"}, "trainer.progress=no: must be true, false or auto."),
        ({"trainer.devices": 0}, "trainer.devices=0: must be a whole number of at least 1 or auto."),
        ({"trainer.accelerator": "tpu"}, "trainer.accelerator=tpu: must be auto, cpu, gpu or mps."),
        ({"trainer.precision": 16}, "trainer.precision=16: must be auto, 32-true, bf16-mixed, bf16-true, 16-mixed or 64-true."),
        ({"trainer.gradient_clip": "abc"}, "trainer.gradient_clip=abc: must be a number above 0 or null."),
        ({"trainer.gradient_clip": NAN}, "trainer.gradient_clip=nan: must be a number above 0 or null."),
        ({"trainer": 3}, "trainer=3: it is a group of keys: trainer.accelerator, trainer.devices, "),
        ({"trainer.max_step": 3}, "There is no key 'trainer.max_step'; did you mean trainer.max_steps or trainer.max_epochs? All keys: python train.py --help"),
        ({"colour": 3}, "There is no key 'colour'. All keys: python train.py --help"),
        ({"optimizer.lr": 0}, "optimizer.lr=0: must be a number above 0."),
        ({"optimizer.lr": float("inf")}, "optimizer.lr=inf: must be a number above 0."),
        ({"optimizer.lr": True}, "optimizer.lr=true: must be a number above 0."),
        ({"optimizer.weight_decay": -1}, "optimizer.weight_decay=-1: must be a number of at least 0."),
        ({"optimizer": {"lr": 1}}, "optimizer={lr:1}: it needs a _target_, as the options in conf/ have."),
        ({"scheduler.power": -1}, "scheduler.power=-1: must be a number of at least 0."),
        ({"checkpointing.every_minutes": 0}, "checkpointing.every_minutes=0: must be a number above 0 or null."),
        ({"checkpointing.keep": -1}, "checkpointing.keep=-1: must be a whole number of at least 0."),
        ({"checkpointing": 3}, "checkpointing=3: it is a group of keys: checkpointing.every_n_steps, checkpointing.every_minutes, checkpointing.keep, checkpointing.failures_allowed, checkpointing.mirror."),
        ({"early_stopping.min_delta": None}, "early_stopping.min_delta=null: must be a number of at least 0."),
        ({"ema.decay": 1.0}, "ema.decay=1.0: must be a number above 0 and below 1 or null."),
        ({"ema": 0.9}, "ema=0.9: it is a group of keys: ema.decay."),
        ({"loss.name": "poly"}, "loss.name=poly: must be one of cross_entropy, dice_cross_entropy, ohem, focal, lovasz; a loss of your own needs loss._target_."),
        ({"loss.auxiliary": NAN}, "loss.auxiliary=nan: must be a number of at least 0."),
        ({"loss.label_smoothing": 2}, "loss.label_smoothing=2: must be a number of at least 0 and at most 1."),
        ({"loss.label_smoothing": 0.1, "loss.name": "ohem"}, "loss.label_smoothing=0.1: is for loss=cross_entropy only."),
        ({"logger.name": "foo"}, "logger.name=foo: must be csv, tensorboard, wandb or a list of these for several at once, such as [wandb,tensorboard]."),
        ({"report.train_eval": None}, "report.train_eval=null: must be true or false."),
        ({"evaluation.flip": "maybe"}, "evaluation.flip=maybe: must be true or false."),
        ({"evaluation.scales": []}, "evaluation.scales=[]: must be a list of numbers above 0, such as [0.75,1.0,1.25]."),
        ({"evaluation.scales": [1.0, -1]}, "evaluation.scales=[1.0,-1]: must be a list of numbers above 0"),
        ({"evaluation.window": 512}, f"evaluation.window=512: {SIZE} or null."),
        ({"evaluation.stride": [4]}, f"evaluation.stride=[4]: {SIZE} or null."),
        ({"evaluation.stride": [4, 4]}, "evaluation.stride=[4,4] needs evaluation.window=[height,width]."),
        ({"evaluation.window": [8, 8], "evaluation.stride": [4, 9], **SEGMENTS}, "evaluation.stride=[4,9] is larger than evaluation.window=[8,8]: pixels"),
        ({"evaluation.rotate": True}, "There is no key 'evaluation.rotate'"),
        ({"model.partial": 1}, "model.partial=1: must be true or false."),
        ({"model.weights": None}, "model.weights=null: must be auto, none, imagenet, coco_voc, efficientnet_lite0 or the path of a checkpoint."),
        ({"model.weights": ""}, "model.weights=: must be auto, none"),
        ({"model.task": "detection"}, "model.task=detection: must be classification or segmentation."),
        ({"model.mean": [0.5]}, "model.mean=[0.5]: must be a list of three numbers from 0 to 1, for red, green and blue or null."),
        ({"model.std": [0, 1, 1]}, "model.std=[0,1,1]: must be above 0."),
        ({"model.network": None}, "model.network=null: it needs a _target_, as the options in conf/model have."),
        ({"aug.transform": 5}, "aug.transform=5: it needs a _target_"),
        ({"aug.name": "flip_rotate", "aug.rotation": -5}, "aug.rotation=-5: must be a number of degrees from 0 to 180."),
        ({"aug.name": "flip_rotate", "aug.rotation": NAN}, "aug.rotation=nan: must be a number of degrees"),
        ({"aug.name": "flip_rotate", "aug.rotation": True}, "aug.rotation=true: must be a number of degrees"),
        ({"callbacks": {"mine": {"x": 1}}}, "callbacks.mine={x:1}: it needs a _target_"),
        ({"data.fraction": 0}, "data.fraction=0: must be a number above 0 and at most 1."),
        ({"data.fraction": "half"}, "data.fraction=half: must be a number"),
        ({"data.split": {"train": 0.7, "val": 0.1, "test": 0.3}}, f"data.split={{train:0.7,val:0.1,test:0.3}}: {SPLIT}"),
        ({"data.split": {"train": 0.7, "val": 0.1, "tset": 0.2}}, f"data.split={{train:0.7,val:0.1,tset:0.2}}: {SPLIT}"),
        ({"data.split": {"train": 1.2, "val": -0.4, "test": 0.2}}, SPLIT),
        ({"data.split": "oficial"}, f"data.split=oficial: {SPLIT}"),
        ({"data.split": None}, f"data.split=null: {SPLIT}"),
        ({"data.split_by": "drive"}, "data.split_by=drive: must be sample or group."),
        ({"data.image_size": [0, 64]}, f"data.image_size=[0,64]: {SIZE}."),
        ({"data.image_size": "64"}, f"data.image_size=64: {SIZE}."),
        ({"data.load_size": [32, 80]}, "data.load_size=[32,80] is smaller than data.image_size=[48,64]"),
        ({"data.num_workers": 1.5}, "data.num_workers=1.5: must be a whole number of at least 0 or null."),
        ({"data.cache": "yes"}, "data.cache=yes: must be true, false or auto."),
        ({"data.cache_dir": ""}, "data.cache_dir=: must be a path."),
        ({"data.on_corrupt": ["skip"]}, "data.on_corrupt=[skip]: must be fail or skip."),
        ({"data.batch_size": True}, "data.batch_size=true: must be a whole number of at least 1; of train.py also auto."),
        ({"data.select_from": "val"}, "data.select_from=val: must be train or null."),
        ({"data.root": ""}, "data.root=: must be a folder, a list of folders, or null."),
        ({"data.root": ["a", ""]}, "data.root=[a,]: must be a folder"),
        ({"data.label_space": ["a"]}, "data.label_space=[a]: must be a name, or the path of a CSV file or null."),
        ({"data.classes": "road"}, "data.classes=road: must be a list of names such as [road,sky] or null."),
        ({"data.masks": "drawn"}, "data.masks=drawn: must be polygons, files, labelme or coco."),
        ({"data": None}, "data=null: it is a group of keys: "),
        # what values of several keys must agree on
        ({"data.batch_size": 10, "trainer.accumulate": 4}, "data.batch_size=10 does not divide by trainer.accumulate=4"),
        ({"ema.decay": 0.9, "trainer.precision": "bf16-true"}, "type trainer.precision=bf16-mixed, not bf16-true."),
        ({"report.predictions": True}, "report.predictions=true writes masks, and model=custom_cnn classifies"),
        ({"report.region_sizes": True}, "report.region_sizes=true groups the pixels of masks, and model=custom_cnn classifies."),
        ({"evaluation.scales": [0.5, 1.0]}, "evaluation.scales=[0.5,1.0] is for segmentation, and model=custom_cnn predicts one class per image"),
        ({"evaluation.window": [8, 8]}, "evaluation.window=[8,8] is for segmentation"),
        ({"data.label_space": "idd_lite"}, "data.label_space=idd_lite is for masks"),
        ({"data.void_ids": [11]}, "data.void_ids=[11] is for masks"),
        ({"data.void_ids": [256]}, "data.void_ids=[256]: must be a list of whole numbers in 0–255, such as [11] or null."),
        ({"data.void_ids": 11}, "data.void_ids=11: must be a list of whole numbers in 0–255, such as [11] or null."),
        ({"data.bit_depth": 17}, "data.bit_depth=17: must be a whole number of at least 1 and at most 16 or null."),
        ({"data.masks": "files"}, "data.masks=files is for segmentation"),
        ({"data.riders": "drop", **SEGMENTS}, "data.riders=drop is for crops of objects"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence_with_its_key(changes, message):
    with pytest.raises(SettingsError) as refusal:
        validated(RunSettings, changed(changes))
    assert str(refusal.value).startswith(message) or message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_all_wrong_values_are_answered_together():
    with pytest.raises(SettingsError) as refusal:
        validated(RunSettings, changed({"seed": -1, "trainer.devices": 0, "data.cache": "yes", "colour": 3}))
    assert [line.split(":")[0].split("=")[0] for line in str(refusal.value).splitlines()] == [
        "seed", "data.cache", "trainer.devices", "There is no key 'colour'. All keys"]  # fmt: skip


def test_all_disagreements_are_answered_together():
    wrong = {"data.batch_size": 10, "trainer.accumulate": 4, "ema.decay": 0.9, "trainer.precision": "bf16-true"}
    with pytest.raises(SettingsError) as refusal:
        validated(RunSettings, changed(wrong))
    assert len(str(refusal.value).splitlines()) == 2


def test_a_missing_key_is_named(plain):
    del plain["data"]["image_size"]
    with pytest.raises(SettingsError, match=r"^data\.image_size is missing\.$"):
        validated(RunSettings, plain)


def test_every_key_has_a_description():
    assert [key for key, field in keys_of(RunSettings) if not (field.description or "." not in key)] == []


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (int, "a whole number"),
        (Positive, "a whole number of at least 1"),
        (Positive | None, "a whole number of at least 1 or null"),
        (Annotated[Number, Field(gt=0, le=1)], "a number above 0 and at most 1"),
        (Literal["a", "b", "c"], "a, b or c"),
        (bool | Literal["auto"], "true, false or auto"),
        (Size, "[height,width], two positive whole numbers of pixels"),
        (list[str], "a list, each item a text"),
        (dict[str, str], "a group of keys"),
        (Annotated[str, Legal("a colour")], "a colour"),
    ],
)
def test_legal_values_in_words(annotation, words):
    assert legal(annotation) == words
