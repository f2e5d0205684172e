"""From what was composed and typed to one plain, resolved, checked configuration."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules.settings import is_number, is_whole, typed
from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.looks import looks
from entry.request import PROJECT, Request
from entry.values import check_values
from run_folder import RunFolder

# Of a request, not of the run that it is about.
OWN_KEYS = (
    *("run", "checkpoint", "split", "source", "resume", "resume_with_changes"),
    *("predictions", "predictions_label_space", "crosswalk"),
)
OF_A_RUN = ("data", "model", "trainer", "optimizer", "checkpointing", "report")
CONF = PROJECT / "conf"
FIXED = ("loss", "ema", "early_stopping", "checkpointing", "report")  # evaluation is looked at where it is read
LARGEST_SEED = 2**32 - 1


def resolved(request: Request) -> dict[str, Any]:
    """The whole configuration as plain data, each path absolute. Raises RequestError where something is missing or absurd."""
    _check_fit(request.config)
    try:
        missing = sorted(OmegaConf.missing_keys(request.config))
        if missing:
            raise RequestError(f"{missing[0]} is missing. Type it: {missing[0]}=…")
        config = OmegaConf.to_container(request.config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise RequestError(f"The configuration cannot be resolved: {str(error).splitlines()[0]}") from None
    assert isinstance(config, dict)
    plain = {str(key): value for key, value in config.items()}
    _check(plain)
    _check_added(plain)
    _make_absolute(plain)
    return plain


def to_yaml(config: Mapping[str, Any]) -> str:
    """The configuration as config.yaml holds it."""
    return str(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def of_run(request: Request) -> tuple[RunFolder, dict[str, Any]]:
    """The run that `run=` names, and its own configuration with each typed override put in its key's place.

    Raises RequestError for a folder that holds no run, and for overrides that make no sense with one.
    """
    if request.config.run is None:
        raise RequestError(
            "run is missing. Type the folder that train.py named: run=RUN_FOLDER; what was not trained here is evaluated "
            "with model.weights=… or predictions=…"
        )
    folder = RunFolder.open(Path(str(request.config.run)).expanduser())
    return folder, with_overrides(folder, request)[1]


def with_overrides(folder: RunFolder, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's own configuration, as it is and with each typed override put in its key's place. Raises RequestError."""
    try:
        config = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{folder.config} is damaged: {' '.join(str(error).split())}") from None
    lacks = [key for key in OF_A_RUN if not isinstance(config, dict) or not isinstance(config.get(key), dict)]
    if lacks:
        raise RequestError(f"{folder.config}: not a run's configuration: {lacks[0]} is missing in it.")
    if "predictions" in config:  # a key of evaluate.py's own, which train.py does not know
        raise RequestError(
            f"{folder.path} holds the scores of what was not trained here, and no checkpoint. Evaluate that again with "
            "model.weights=… or predictions=…"
        )
    told = copy.deepcopy(config)
    for override in OverridesParser.create().parse_overrides(list(request.overrides)):
        key = override.key_or_group
        if key in OWN_KEYS:
            continue
        if override.is_add() or override.is_delete():
            raise RequestError(
                f"{override.input_line}: with run= and resume=, keys can be replaced, not added or deleted."
            )
        _replace(config, key, request)
    _check(config)
    _make_absolute(config)
    return told, config


def foreign(request: Request) -> str | None:
    """What evaluate.py is asked to evaluate that was not trained here: predictions, weights, or None for a run.

    Raises RequestError where keys of the one and of the other are typed.
    """
    config = request.config
    typed = [override.split("=")[0] for override in request.overrides]
    beside = next((key for key in typed if key in ("predictions", "predictions_label_space", "crosswalk")), None)
    if config.run is not None:
        if beside is not None:
            raise RequestError(f"{beside}= makes no sense with run=: a run has its own model. Leave one of them out.")
        return None
    if config.predictions is not None:
        return "predictions"
    if config.predictions_label_space is not None:
        raise RequestError("predictions is missing. Type the folder of the masks: predictions=DIR")
    trained = config.model.weights not in ("auto", "none", "imagenet")  # an experiment= may name them
    return "weights" if "model.weights" in typed or trained else None


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted key."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return values


def _replace(config: dict[str, Any], key: str, request: Request) -> None:
    if key in ("model", "experiment") or key.startswith("model."):
        raise RequestError(
            f"{key}= makes no sense with run= or resume=: the run has its model. Leave it out, or train another."
        )
    composed: Any = OmegaConf.select(request.config, key)
    if key == "data":
        if composed.name != config["data"]["name"]:
            raise RequestError(
                f"data={composed.name} makes no sense with run= or resume=: the run was made on {config['data']['name']}. Type data.root= for another copy of it."
            )
        return
    *path, last = key.replace("/", ".").split(".")
    place = config
    for step in path:
        place = place.setdefault(step, {})
    # A run of an earlier version may lack one of these.
    if last not in place and [*path, last][0] not in ("report", "evaluation"):
        raise RequestError(f"{key}: the run's config.yaml has no such key.")
    place[last] = (
        OmegaConf.to_container(composed, resolve=True) if isinstance(composed, DictConfig) else copy.copy(composed)
    )
    if hasattr(place[last], "_metadata"):  # a list is still OmegaConf's
        place[last] = OmegaConf.to_container(place[last], resolve=True)


def _check_fit(config: DictConfig) -> None:
    """A model and a dataset that do not fit are told which would."""
    task, targets = config.model.task, config.data.get("targets", {})
    if task not in targets:
        options = {
            path.stem: yaml.safe_load(path.read_text())["task"] for path in sorted((CONF / "model").glob("*.yaml"))
        }
        fitting = ", ".join(name for name, does in options.items() if does in targets)
        raise RequestError(
            f"model={config.model.name} does {task}, but data={config.data.name} serves {' and '.join(targets)}. Models that fit: {fitting}"
        )


def _make_absolute(config: dict[str, Any]) -> None:
    """Paths are read where they were typed; a run folder must say the same from anywhere."""
    data, model = config["data"], config["model"]
    roots = data.get("root")
    if roots:  # an empty one, of an unset shell variable, is no folder, not the one where somebody is
        data["root"] = [_absolute(root) for root in roots] if isinstance(roots, list) else _absolute(roots)
    spaces = ((data, "split"), (data, "label_space"), (model, "label_space"), (config, "predictions_label_space"))
    for keys, key in spaces:
        if str(keys.get(key)).lower().endswith(".csv"):
            keys[key] = _absolute(keys[key])
    for key in ("predictions", "crosswalk"):
        if config.get(key) is not None:
            config[key] = _absolute(config[key])
    if model["weights"] not in ("auto", "none", "imagenet", "coco_voc"):
        model["weights"] = _absolute(model["weights"])


def _absolute(path: object) -> str:
    return str(Path(str(path)).expanduser().absolute())


def _check(config: Mapping[str, Any]) -> None:
    """The keys that this floor reads itself; data's own are checked by its room."""
    defaults = yaml.safe_load((CONF / "train.yaml").read_text())
    for key, value in defaults.items():
        if isinstance(value, Mapping) and not isinstance(config.get(key, {}), Mapping):
            below = ", ".join(f"{key}.{name}" for name in value)
            raise RequestError(f"{key}={config[key]}: it is not one value but has some below it: {below}.")
    positive: Sequence[str] = ("trainer.max_epochs", "trainer.devices", "trainer.num_nodes", "trainer.accumulate")
    maybe = ("trainer.limit_batches", "trainer.threads", "early_stopping.patience", "checkpointing.every_n_steps")
    for key in ("seed", *positive, *maybe):
        value = _get(config, key)
        if key == "trainer.devices" and value == "auto":
            continue
        optional = key not in ("seed", *positive)
        least = 0 if key == "seed" else 1
        if not (optional and value is None) and not is_whole(value, least):
            raise RequestError(
                f"{key}={typed(value)}: must be a whole number of {least} or more{' or null' if optional else ''}."
            )
    if config["seed"] > LARGEST_SEED:
        raise RequestError(f"seed={config['seed']}: must be at most {LARGEST_SEED}, which is as far as NumPy's go.")
    check_values(config)
    _check_checkpointing(config["checkpointing"])
    _check_report(config)
    _check_ema(config)
    _check_rotation(config)
    looks(config)
    # What is no number at all is told by its room.
    if is_whole(config["data"]["batch_size"], 1) and config["data"]["batch_size"] % config["trainer"]["accumulate"]:
        raise RequestError(
            f"data.batch_size={config['data']['batch_size']} does not divide by trainer.accumulate={config['trainer']['accumulate']}: it is what one optimiser step sees."
        )
    unknown = sorted(config.keys() - defaults.keys() - set(OWN_KEYS) - _groups())
    if unknown:
        raise RequestError(f"There is no key {unknown[0]!r}. All keys: python train.py --cfg job")
    check_targets(config)


def _check_added(config: Mapping[str, Any]) -> None:
    """A key that was added with + to a part that nobody adds to would be heard by nobody."""
    known = {key: keys for key, keys in yaml.safe_load((CONF / "train.yaml").read_text()).items() if key in FIXED}
    known["trainer"] = yaml.safe_load((CONF / "common" / "trainer.yaml").read_text())
    for place, keys in known.items():
        unknown = sorted(map(str, config[place].keys() - keys.keys()))
        if unknown:
            raise RequestError(f"There is no key '{place}.{unknown[0]}'. All keys: python train.py --cfg job")


def _check_checkpointing(keys: Mapping[str, Any]) -> None:
    minutes, keep = keys["every_minutes"], keys["keep"]
    if minutes is not None and not (is_number(minutes) and minutes > 0):
        raise RequestError(f"checkpointing.every_minutes={minutes}: must be a number above 0 or null.")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        raise RequestError(f"checkpointing.keep={keep}: must be a whole number of 0 or more.")


def _check_report(config: Mapping[str, Any]) -> None:
    instead = {
        "predictions": "writes masks, and the run classifies: each image's prediction is in per_sample.npz anyway.",
        "region_sizes": "parts the pixels of masks, and the run classifies images: leave it out.",
    }
    for key, reason in instead.items():
        wanted = config["report"].get(key, False)  # runs of earlier versions lack some
        if not isinstance(wanted, bool):
            raise RequestError(f"report.{key}={wanted}: must be true or false.")
        if wanted and config["model"]["task"] != "segmentation":
            raise RequestError(f"report.{key}=true {reason}")


def _check_ema(config: Mapping[str, Any]) -> None:
    decay = _get(config, "ema.decay")  # not in a run's config.yaml from before this key
    if decay is None:
        return
    if not isinstance(decay, int | float) or isinstance(decay, bool) or not 0 < decay < 1:
        raise RequestError(f"ema.decay={decay}: must be a number above 0 and below 1 or null.")
    if config["trainer"]["precision"] == "bf16-true":
        raise RequestError(
            f"ema.decay={decay} goes with weights that can hold small changes: trainer.precision=bf16-mixed, not bf16-true."
        )


def _check_rotation(config: Mapping[str, Any]) -> None:
    if _get(config, "aug.name") != "flip_rotate":  # an option of one's own may mean something else by it
        return
    degrees = _get(config, "aug.rotation")
    if not is_number(degrees) or not 0 <= degrees <= 180:
        raise RequestError(f"aug.rotation={degrees}: must be a number of degrees from 0 to 180.")


def _groups() -> set[str]:
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def _get(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
