"""What a configuration may name to be built. Each attack would leave a trace: a canary that must not appear, or one that must stay."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from entry.config.allowlist import check_target
from entry.config.targets import check_targets
from entry.errors import RequestError
from settings.run import RunSettings, validated
from tests.settings.conftest import changed
from tests.test_train import QUICK

ALLOWED = {
    "data._target_": ["datamodules.image_folder.ImageFolderDataModule", "datamodules.synthetic_idd.SyntheticIDDCrops"],
    "lightning_module._target_": ["lightning_modules.classification.ClassificationModule"],
    "model.network._target_": ["lightning_modules.networks.custom_cnn.custom_cnn", "lightning_modules.networks.custom_cnn.CustomCNN",
                               "torchvision.models.resnet34", "torchvision.models.segmentation.deeplabv3_resnet50"],
    "loss._target_": ["lightning_modules.losses.CrossEntropy", "torch.nn.CrossEntropyLoss"],
    "optimizer._target_": ["torch.optim.Adam", "torch.optim.Adafactor", "torch.optim.adamw.AdamW"],
    "scheduler._target_": ["lightning_modules.schedules.cosine", "torch.optim.lr_scheduler.StepLR", "torch.optim.swa_utils.SWALR"],
    "aug.transform._target_": ["albumentations.Compose", "albumentations.HorizontalFlip", "albumentations.pytorch.ToTensorV2"],
    "callbacks.mine._target_": ["callbacks.history.HistoryWriter", "lightning.pytorch.callbacks.EarlyStopping",
                                "lightning.pytorch.callbacks.early_stopping.EarlyStopping"],
}  # fmt: skip
PAIRS = [(place, target) for place, targets in ALLOWED.items() for target in targets]


@pytest.mark.parametrize(("place", "target"), PAIRS)
def test_what_is_needed_may_be_named(place, target):
    check_target(place, target)


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
        "datamodules.files.image_cache.shutil.rmtree", "datamodules.base.DataSettings", "callbacks.history.write_csv", "callbacks.links.link",
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
        "lightning_modules.supervised.SupervisedModule", "torchmetrics.Accuracy", "rich.progress.BarColumn", "lightning.pytorch.loggers.CSVLogger", "lightning_modules.weights.download.fetch", "lightning_modules.weights.safe_load.read_checkpoint",
        "datamodules.base.ImageDataModule", "datamodules.synthetic.generate.ensure", "lightning_modules.networks.custom_cnn.nn.Linear",
        # no name at all
        "", ".", "torch.optim.", "torch.optim.Adam ", "torch.optim.Adam()", "torch.optim.Nothing", "torch.optim.nothing.Adam", "???", "torch..optim.Adam", 7, None,
        ["os.system"], {"_target_": "os.system"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["model.network._target_", "callbacks.mine._target_"])
def test_nothing_else_may_be_named(place, target):
    with pytest.raises(RequestError, match=rf"^{place}="):
        check_target(place, target)


INSIDE = {"aug.transform._target_": "aug.transform.transforms.0._target_", "model.network._target_": "model.network.backbone._target_",
          "optimizer._target_": "optimizer.inner._target_", "callbacks.mine._target_": "callbacks.mine.inner.3._target_"}  # fmt: skip


@pytest.mark.parametrize(("place", "target"), PAIRS)
def test_the_key_decides_for_everything_below_it(place, target):
    """Whatever is allowed at another key is refused at a key and inside what stands there."""
    for other, allowed in ALLOWED.items():
        if target not in allowed:
            for key in (other, INSIDE.get(other, other)):
                with pytest.raises(RequestError, match=f"^{key}={target} is not built: allowed here are "):
                    check_target(key, target)


@pytest.mark.parametrize("place", ["data.options.x._target_", "trainer._target_", "aug.mine._target_", "seed._target_"])
def test_nothing_is_built_at_other_keys(place):
    with pytest.raises(RequestError, match="nothing is built at this key"):
        check_target(place, "torch.optim.Adam")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package of the user's own, which leaves a trace when it is imported."""
    code = f"""
import torch
open({str(tmp_path / "canary")!r}, 'w').close()
class Net(torch.nn.Module): ...
class Text: ...
def build(num_classes): return Net()
"""
    (tmp_path / "own_package.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "canary"
    sys.modules.pop("own_package", None)


def test_an_unknown_package_is_not_even_imported(package):
    for target in ("own_package.build", "torch.optim.own_package.build", "torch.own_package.build"):
        with pytest.raises(RequestError):
            check_target("model.network._target_", target)
    assert not package.exists()


def test_an_allowed_package_may_be_named_where_it_fits(package):
    settings = validated(RunSettings, changed({"model.network._target_": "own_package.build"}))
    with pytest.raises(RequestError, match=r"those of packages in allow=\[…\]"):
        check_targets(settings, ())
    check_targets(settings, ("own_package",))
    check_target("model.network._target_", "own_package.Net", ["own_package"])
    for place, target in (
        ("optimizer._target_", "own_package.Net"),
        ("model.network._target_", "own_package.Text"),
        ("model.network._target_", "own_package.torch.load"),
    ):
        with pytest.raises(RequestError, match=f"^{place}={target} "):
            check_target(place, target, ["own_package"])


@pytest.mark.parametrize(
    "name", ["os", "subprocess", "entry", "lightning_modules.weights", "no_such_package", "a b", ""]
)
def test_what_cannot_be_allowed(name):
    with pytest.raises(RequestError, match=r"^allow=\["):
        check_targets(validated(RunSettings, changed({})), [name])


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
def test_nothing_typed_is_run(run_command, folder, image_folder, tmp_path, name):
    attack = typed(attacks(folder)[name])
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"aug.transform={attack}")
    unharmed(folder, answer)
    assert answer.err.startswith("aug.transform")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["optimizer", "scheduler", "model.network", "data", "lightning_module"])
def test_nothing_is_run_wherever_it_is_built(run_command, folder, image_folder, key):
    attacks(folder)
    keys = {"_target_": "entry.evaluation.evaluate.subprocess.run", "args": ["touch", str(folder / "canary")]}
    changes = [f"++{key}.{name}={typed(value)}" for name, value in keys.items()]
    answer = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, *changes)
    unharmed(folder, answer)
    unknown = f"There is no key '{key}.args'"  # where a group has no arguments
    assert answer.err.startswith((f"{key}._target_=entry.evaluation.evaluate.subprocess.run is not built", unknown))


@pytest.fixture(scope="module")
def trained(run_shared_command, image_folder):
    answer = run_shared_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "trainer.max_epochs=1"
    )
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
def test_nothing_in_a_run_folder_is_run(run_command, folder, image_folder, run, group, key, command):
    config = yaml.safe_load((run / "config.yaml").read_text())
    for name, attack in attacks(folder).items():
        tampered = json.loads(json.dumps(config))
        tampered[group][key] = attack
        (run / "config.yaml").write_text(yaml.safe_dump(tampered))
        answer = run_command(command, f"run={run}", *([f"source={image_folder}"] if command == "predict" else []))
        assert f"{group}.{key}" in answer.err, name
        unharmed(folder, answer)


def test_no_weights_and_no_checkpoint_are_run(run_command, folder, image_folder, run):
    attacks(folder)
    payload = folder / "payload.pt"
    weights = run_command("train", "data=image_folder", f"data.root={image_folder}", *QUICK, f"model.weights={payload}")
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
            answer = run_command(command[0], f"run={run}", f"checkpoint={folder / name}", *command[1:])
            unharmed(folder, answer)
            assert name in answer.err


def test_the_payload_is_one(folder):
    attacks(folder)
    with pytest.raises(RuntimeError, match="magic"):  # it is no checkpoint; by then it has run
        torch.load(folder / "payload.pt", weights_only=False)
    assert (folder / "canary").exists()


def test_what_conf_names_still_trains(run_command, image_folder):
    answer = run_command(
        "train", "data=image_folder", f"data.root={image_folder}", *QUICK, "aug=road", "scheduler=cosine"
    )
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("target", ["torch.optim._nothing.Adam", "torch.optim.__nothing__"])
def test_nothing_is_imported_for_a_private_name(target):
    with pytest.raises(
        RequestError, match="is not built: allowed here are optimisers"
    ):  # not: there is nothing of that name
        check_target("optimizer._target_", target)
