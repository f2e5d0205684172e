"""A run's config.yaml: read, and with the keys of a command line in place of its own."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from entry.config.resolve import check_paths, default_of
from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.exported import weights_file
from entry.request import Request, launched
from run_folder import RunFolder, is_run
from settings.errors import SettingsError
from settings.export import ExportKeys
from settings.run import AllowedPackages, LaunchKeys, RequestKeys, RunSettings, SweepKey, validated

LARGEST = 2**20  # bytes of a config.yaml; one of ours has some thousand
DEEPEST = 100  # levels; the time that they take grows with their square
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C: ten times as fast
REQUEST_KEYS = (
    *RequestKeys.model_fields,
    *AllowedPackages.model_fields,
    *LaunchKeys.model_fields,
    *SweepKey.model_fields,
    *ExportKeys.model_fields,
)


def read_settings(folder: RunFolder, allow: Sequence[str]) -> RunSettings:
    """The settings in a run's config.yaml, as `check_targets` allows. Raises RequestError naming the file."""
    settings = stored_settings(folder)
    check_targets(settings, allow)
    return settings


def stored_settings(folder: RunFolder) -> RunSettings:
    """The settings in a config.yaml to be looked at: what they name is not checked. Raises RequestError naming the file."""
    return _validated(folder, _read(folder))


def open_run(key: str, path: str) -> RunFolder:
    """The run folder that a key names. Raises RequestError with what is there instead, and the line to type."""
    if is_run(Path(path)):
        folder = RunFolder(Path(path))
        if key == "resume" and folder.is_export:
            raise RequestError(
                f"resume={path}: is an export, without the state of a training. Begin a run from its weights: model.weights=FILE_IN_IT"
            )
        return folder
    from entry.config.paths import no_run

    raise RequestError(no_run(key, Path(path)))


def of_run(request: Request) -> tuple[RunFolder, RunSettings]:
    """The run that `run=` names, and its settings with each typed override in place of the run's own value.

    Raises RequestError for a folder that holds no run, or not the checkpoint, and for overrides that make no sense with one.
    """
    if request.keys.run is None:
        raise RequestError(
            "run is missing. Type the folder that train.py printed: run=RUN_FOLDER; evaluate.py also takes a model or masks "
            "that were not made here: model.weights=…, model.onnx=… or predictions=…"
        )
    folder = open_run("run", request.keys.run)
    settings = of_one_machine(with_overrides(folder, request)[1], request)
    weights_file(folder, request.keys.checkpoint)
    check_targets(settings, request.allow)
    return folder, settings


def of_one_machine(settings: RunSettings, request: Request) -> RunSettings:
    """The settings with which this machine alone evaluates a run of several, unless a launcher has started others: the scores are the same."""
    if settings.trainer.num_nodes == 1 or launched() or "trainer.num_nodes" in request.typed_keys:
        return settings
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update={"num_nodes": 1})})


def with_overrides(folder: RunFolder, request: Request) -> tuple[RunSettings, RunSettings]:
    """A run's own settings, and those with each typed override in place of the run's own value. Raises RequestError.

    What they name to be built is not checked, because that needs torch: `check_targets` follows.
    """
    config = _read(folder)
    if "predictions" in config:  # a key of evaluate.py's own, which train.py lacks
        raise RequestError(
            f"{folder.path} holds scores of a model or masks that were not made here, and no checkpoint. Evaluate these again with "
            "model.weights=… or predictions=…"
        )
    before = _validated(folder, config)
    for each in OverridesParser.create().parse_overrides(list(request.overrides)):
        key = each.key_or_group.replace("/", ".")
        if key in REQUEST_KEYS:
            continue
        if each.is_delete() and key in RunSettings.model_fields and key not in ("model", "data"):
            config[key] = default_of(key)  # such as ~logger: without one
        elif each.is_add() or each.is_delete():
            raise RequestError(f"{each.input_line}: with run= and resume=, keys can be replaced, not added or deleted.")
        else:
            _replace(config, key, request.config)
    after = validated(RunSettings, OmegaConf.to_container(config))
    check_paths(after, request.typed_keys)
    return before, after


def _read(folder: RunFolder) -> DictConfig:
    if folder.config.stat().st_size > LARGEST:
        raise RequestError(f"{folder.config} has more than {LARGEST} bytes: not a run's configuration.")
    problem: object = "not a run's configuration"
    try:
        text = folder.config.read_text(encoding="utf-8")
        harm = _harm(text)
        config = None if harm else yaml.load(text, LOADER)  # noqa: S506  a safe one
        if isinstance(config, dict):
            return OmegaConf.create(config)
        problem = harm or problem
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OmegaConfBaseException) as error:
        problem = f"it is damaged: {error}"
    raise RequestError(f"{folder.config}: {' '.join(str(problem).split())}.")


def _harm(text: str) -> str:
    """What in YAML could take any amount of time or memory, found while it is read part by part; empty for nothing."""
    depth = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):  # stands for as much as others that it is made of, or for itself
            return "write what an anchor (&) stands for at each of its places (*)"
        if depth > DEEPEST:
            return f"nested in more than {DEEPEST} levels"
    return ""


def _validated(folder: RunFolder, config: DictConfig) -> RunSettings:
    try:
        return validated(RunSettings, OmegaConf.to_container(config))
    except SettingsError as error:
        raise RequestError(f"{folder.config}: {error}") from None


def _replace(config: DictConfig, key: str, composed: DictConfig) -> None:
    """Put the composed value of a key, or of a group, into a run's configuration. Raises RequestError."""
    if key in ("model", "experiment") or key.startswith("model."):
        raise RequestError(
            f"{key}= makes no sense with run= or resume=: the run has its model. Leave it out, or train another."
        )
    value = OmegaConf.select(composed, key)
    if key == "data":
        if value.name != config.data.name:
            raise RequestError(
                f"data={value.name} makes no sense with run= or resume=: the run was made on {config.data.name}. "
                "Type data.root= for another copy of it."
            )
        return
    plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    OmegaConf.update(config, key, plain, merge=False, force_add=True)
