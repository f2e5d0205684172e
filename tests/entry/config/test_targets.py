"""What a configuration may name to be built. Each attack would leave a trace: a canary that must not appear, or one that must stay."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from entry.config.targets import check_targets
from entry.errors import RequestError
from tests.test_train import QUICK


@pytest.mark.parametrize(
    "target",
    [
        "datamodules.image_folder.ImageFolderDataModule",
        "datamodules.synthetic_idd.SyntheticIDDCrops",
        "lightning_modules.classification.ClassificationModule",
        "lightning_modules.networks.custom_cnn.custom_cnn",
        "lightning_modules.networks.custom_cnn.CustomCNN",
        "lightning_modules.schedules.cosine",
        "callbacks.finite_loss.FiniteLoss",
        "torch.optim.Adam",
        "torch.optim.Adafactor",
        "torch.optim.adamw.AdamW",
        "torch.optim.lr_scheduler.StepLR",
        "torch.optim.swa_utils.SWALR",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
        "lightning.pytorch.loggers.CSVLogger",
        "torchmetrics.Accuracy",
        "torchmetrics.classification.MulticlassF1Score",
        "albumentations.Compose",
        "albumentations.HorizontalFlip",
        "albumentations.pytorch.ToTensorV2",
        "torchvision.models.resnet34",
        "torchvision.models.segmentation.deeplabv3_resnet50",
        "rich.progress.BarColumn",
    ],
)
def test_what_is_needed_may_be_named(target):
    check_targets({"aug": [{"_target_": target, "_partial_": True}]})


@pytest.mark.parametrize(
    "target",
    [
        # nothing of ours or of the packages that we use to build
        "os.system", "subprocess.Popen", "builtins.exec", "builtins.eval", "eval", "importlib.import_module",
        "hydra.utils.instantiate", "hydra.utils.call", "hydra.utils.get_method", "hydra.utils.get_object", "torch.load", "torch.nn.Linear",
        "functools.partial", "pickle.loads", "train.train", "entry.cli.command.RememberFolders", "run_folder.RunFolder", "benchmarks.timing.main",
        # the same by way of packages that are known
        "torch.optim.optimizer.torch.hub.load", "torchvision.models.resnet.torch.load", "lightning_modules.weights.load.Path",
        "lightning_modules.weights.load.Path.touch", "entry.evaluation.evaluate.subprocess.run", "run_folder.shutil.rmtree", "rich.console.os.system",
        "datamodules.files.image_cache.shutil.rmtree", "datamodules.base.DataSettings", "callbacks.history.write_csv", "callbacks.checkpoints.link",
        "albumentations.core.serialization.Path", "torchmetrics.torch.load", "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree",
        "torch.optim.Adam.__init__.__globals__", "torch.optim.Adam.__base__", "torch.optim.Adam.load_state_dict", "torch.optim._functional.adam",
        # of them, but not made to be built
        "torch.optim", "torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler.LambdaLR",
        "torch.optim.swa_utils.AveragedModel", "torch.optim.swa_utils.update_bn",
        "albumentations.load", "albumentations.from_dict", "albumentations.Lambda", "albumentations.FDA", "albumentations.BasicTransform",
        "torchvision.models.get_model", "torchvision.models.get_weight", "torchvision.models.ResNet18_Weights",
        "torchvision.models.resnet.ResNet18_Weights.DEFAULT.get_state_dict", "torchvision.models.resnet.load_state_dict_from_url",
        "lightning.pytorch.callbacks.LambdaCallback", "lightning.pytorch.cli.SaveConfigCallback", "lightning.pytorch.Trainer",
        "lightning.pytorch.callbacks.Callback", "torchmetrics.text.BERTScore", "torchmetrics.Metric", "rich.print", "rich.progress.open",
        "lightning_modules.supervised.SupervisedModule", "lightning_modules.weights.download.fetch", "lightning_modules.weights.safe_load.read_checkpoint",
        "datamodules.base.ImageDataModule", "datamodules.synthetic.generate.ensure", "lightning_modules.networks.custom_cnn.nn.Linear",
        # no name at all
        "", ".", "torch.optim.", "torch.optim.Adam ", "torch.optim.Adam()", "torch.optim.Nothing", "torch.optim.nothing.Adam", "???", "torch..optim.Adam", 7, None,
        ["os.system"], {"_target_": "os.system"},
    ],
)  # fmt: skip
def test_nothing_else_may_be_named(target):
    with pytest.raises(RequestError, match=r"^model\.network\._target_="):
        check_targets({"model": {"network": {"_target_": target}}})


def test_the_message_names_the_place_however_deep():
    config = {
        "aug": {
            "transform": {"_target_": "albumentations.Compose", "transforms": [{"p": 1}, {"_target_": "os.system"}]}
        }
    }
    with pytest.raises(
        RequestError, match=r"^aug\.transform\.transforms\.1\._target_=os\.system .*torch\.optim.*albumentations"
    ):
        check_targets(config)


@pytest.mark.parametrize(
    ("place", "target", "instead"),
    [
        ("data", "torch.optim.Adam", "our data modules"),
        ("lightning_module", "datamodules.image_folder.ImageFolderDataModule", "our Lightning modules"),
        ("model.network", "albumentations.HorizontalFlip", "our networks, models of torchvision.models"),
        ("optimizer", "torch.optim.lr_scheduler.StepLR", "optimisers of torch.optim"),
        ("scheduler", "torch.optim.Adam", "our schedules, schedulers of torch.optim"),
        ("aug.transform", "rich.progress.BarColumn", "transforms of albumentations"),
    ],
)
def test_what_the_doors_build_must_be_of_its_kind(place, target, instead):
    config: dict = {"_target_": target}
    for key in reversed(place.split(".")):
        config = {key: config}
    with pytest.raises(RequestError, match=rf"^{place}\._target_={target} .* is {instead}, and nothing else"):
        check_targets(config)


def test_a_configuration_that_contains_itself_is_refused():
    with pytest.raises(RequestError, match="contains itself"):
        check_targets(yaml.safe_load("a: &a [1, *a]"))


@pytest.mark.parametrize(
    "config",
    [
        {"a": "${oc.create:{_target_: os.system}}"},
        {"a": [{"b": "x${c}"}]},
        {"a": {"_target_": "${b}"}, "b": "os.system"},
        {"a": {"${b}": 1}},
    ],
)
def test_a_text_that_would_be_resolved_again_is_refused(config):
    with pytest.raises(RequestError, match="cannot stand in a configuration that is resolved already"):
        check_targets(config)


def test_an_unknown_package_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_package.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()\ndef build(**_): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target in ("evil_package.build", "torch.optim.evil_package.build", "torch.evil_package.build"):
        with pytest.raises(RequestError):
            check_targets({"a": {"_target_": target}})
    assert not (tmp_path / "canary").exists()


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def attacks(folder: Path) -> dict[str, dict]:
    """Ways to touch folder/canary, or to remove folder/treasure, while a configuration is built."""
    canary = str(folder / "canary")
    (folder / "treasure").mkdir()
    (folder / "hub").mkdir()
    (folder / "hub" / "hubconf.py").write_text(
        f"from pathlib import Path\nPath({canary!r}).touch()\ndef model(): ...\n"
    )
    (folder / "payload.pt").write_bytes(pickle.dumps(Payload(folder / "canary"), protocol=2))
    touch = {"_target_": "os.system", "command": f"touch {canary}"}
    hub = {
        "_target_": "torch.optim.optimizer.torch.hub.load",
        "repo_or_dir": f"{folder}/hub",
        "model": "model",
        "source": "local",
    }
    run = {"_target_": "entry.evaluation.evaluate.subprocess.run", "args": ["touch", canary]}
    return {
        "a shell": touch,
        "a process": {"_target_": "subprocess.Popen", "args": ["touch", canary]},
        "exec": {"_target_": "builtins.exec", "_args_": [f"open({canary!r}, 'w')"]},
        "eval": {"_target_": "builtins.eval", "_args_": [f"open({canary!r}, 'w')"]},
        "a call of a call": {"_target_": "hydra.utils.call", "_recursive_": False, "config": touch},
        "a method that is found": {"_target_": "hydra.utils.get_method", "path": "os.system"},
        "an object that is found": {"_target_": "hydra.utils.get_object", "path": "os.system"},
        "torch.hub by an alias": hub,
        "torch.load by an alias": {"_target_": "torchvision.models.resnet.torch.load", "f": f"{folder}/payload.pt", "weights_only": False},
        "a path by an alias": {"_target_": "lightning_modules.weights.load.Path.touch", "self": {"_target_": "lightning_modules.weights.load.Path", "_args_": [canary]}},
        "a process by an alias": run,
        "a removal by an alias": {"_target_": "run_folder.shutil.rmtree", "path": f"{folder}/treasure"},
        "in a list": {"_target_": "albumentations.Compose", "transforms": [{"_target_": "albumentations.HorizontalFlip"}, hub]},
        "as an argument": {"_target_": "albumentations.HorizontalFlip", "p": hub},
        "in what is not built itself": {"inner": [[{"deep": hub}]]},
        "resolved a second time": {"inner": "${oc.create:{" + ",".join(f"{key}:'{value}'" for key, value in hub.items()) + "}}"},
    }  # fmt: skip


ATTACKS = ["a shell", "a process", "exec", "eval", "a call of a call", "a method that is found", "an object that is found", "torch.hub by an alias",
           "torch.load by an alias", "a path by an alias", "a process by an alias", "a removal by an alias", "in a list", "as an argument",
           "in what is not built itself", "resolved a second time"]  # fmt: skip


def typed(value: object) -> str:
    """A value as Hydra's command line takes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{typed(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"').replace("${", "\\${") + '"'
    return str(value).lower()


def unharmed(folder: Path, answer) -> None:
    assert not (folder / "canary").exists()
    assert (folder / "treasure").exists()
    assert answer.code == 2, answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert answer.out == ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "attack").mkdir()
    return tmp_path / "attack"


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_typed_is_run(door, folder, image_folder, tmp_path, name):
    attack = typed(attacks(folder)[name])
    answer = door("train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"aug.transform={attack}")
    unharmed(folder, answer)
    assert answer.err.startswith("aug.transform.")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["optimizer", "scheduler", "model.network", "data", "lightning_module"])
def test_nothing_is_run_wherever_it_is_built(door, folder, image_folder, key):
    attacks(folder)
    keys = {"_target_": "entry.evaluation.evaluate.subprocess.run", "args": ["touch", str(folder / "canary")]}
    changes = [f"++{key}.{name}={typed(value)}" for name, value in keys.items()]
    answer = door("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *changes)
    unharmed(folder, answer)
    assert answer.err.startswith(f"{key}._target_=entry.evaluation.evaluate.subprocess.run is not built")


@pytest.fixture(scope="module")
def trained(shared_door, image_folder):
    answer = shared_door("train", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer.max_epochs=1")
    assert answer.code == 0, answer.err
    return answer.folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


# evaluate.py builds the augmentation too, predict.py only the model
@pytest.mark.parametrize(
    ("group", "key", "command"),
    [("aug", "transform", "evaluate"), pytest.param("model", "network", "predict", marks=pytest.mark.slow)],
)
def test_nothing_in_a_run_folder_is_run(door, folder, image_folder, run, group, key, command):
    config = yaml.safe_load((run / "config.yaml").read_text())
    for name, attack in attacks(folder).items():
        tampered = json.loads(json.dumps(config))
        tampered[group][key] = attack
        (run / "config.yaml").write_text(yaml.safe_dump(tampered))
        answer = door(command, f"run={run}", *([f"source={image_folder}"] if command == "predict" else []))
        assert f"{group}.{key}" in answer.err, name
        unharmed(folder, answer)


def test_no_weights_and_no_checkpoint_are_run(door, folder, image_folder, run):
    attacks(folder)
    payload = folder / "payload.pt"
    weights = door("train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"model.weights={payload}")
    unharmed(folder, weights)
    checkpoints = {
        "payload.ckpt": None,
        "instantiator.ckpt": {"_instantiator": "os.system", "command": f"touch {folder}/canary"},
    }
    for name, hidden in checkpoints.items():
        if hidden is None:
            shutil.copy(payload, folder / name)
        else:
            content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
            torch.save({**content, "hyper_parameters": content["hyper_parameters"] | hidden}, folder / name)
        for command in (["evaluate"], ["predict", f"source={image_folder}"]):
            answer = door(command[0], f"run={run}", f"checkpoint={folder / name}", *command[1:])
            unharmed(folder, answer)
            assert name in answer.err


def test_the_payload_is_one(folder):
    attacks(folder)
    with pytest.raises(RuntimeError, match="magic"):  # it is no checkpoint; by then it has run
        torch.load(folder / "payload.pt", weights_only=False)
    assert (folder / "canary").exists()


def test_what_conf_names_still_trains(door, image_folder):
    answer = door("train", "data=image_folder", f"data.root={image_folder}", *QUICK, "aug=road", "scheduler=cosine")
    assert answer.code == 0, answer.err
