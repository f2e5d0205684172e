"""The settings with which external weights or masks are evaluated; needs no torch, so that a wrong request is refused at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.request import Request
from settings.base import absolute
from settings.evaluation import EvaluationSettings
from settings.model import LITE
from settings.run import RunSettings

OF_PAGE = ("report.html", "report.images", "report.gallery_iou")
# Keys, and groups of them, that have an effect on the evaluation of what was not made here: the data, and the machine.
USED_KEYS = ("split", "crosswalk", "data", "report.region_sizes", *OF_PAGE, "seed", "logger", "trainer", "allow")
FRESH = ("auto", "none", "imagenet", *LITE)  # values of model.weights with which a model cannot predict classes yet
OF_TRAINING = ("trainer.max_epochs", "trainer.max_steps", "trainer.accumulate", "trainer.gradient_clip", "trainer.gradient_checkpointing",
               "trainer.compile", "trainer.sync_batchnorm", "trainer.find_unused_parameters", "model.freeze_epochs")  # fmt: skip
OF_ONNX = ("onnx", "output", "label_space", "mean", "std")  # keys of model beside model.onnx
ONNX_GRAPH = "lightning_modules.networks.graphs.OnnxGraph"
# With run= too: those of groups that are used, without an effect on the evaluation of a trained model.
NOT_OF_RUN = (*OF_TRAINING, "data.batch_size", "data.drop_last", "data.load_size", "data.train_eval_samples")
OF_RUN = ("run", "checkpoint", "split", "data", "evaluation", "report.predictions", "report.region_sizes", *OF_PAGE, "trainer",
          "allow")  # fmt: skip


def has_effect(key: str, used: Sequence[str] = OF_RUN, unused: Sequence[str] = NOT_OF_RUN) -> bool:
    """Whether a key that is typed changes an evaluation, by default that of a run: it is, or is in, one of `used`."""
    return key not in unused and any(key == each or key.startswith(f"{each}.") for each in used)


def external_kind(request: Request) -> str | None:
    """What evaluate.py is requested to evaluate that was not made here: predictions, onnx, weights, or None for a run.

    Raises RequestError where keys of the one and of the other are typed.
    """
    keys, typed = request.keys, request.typed_keys
    other = [key for key in typed if key.startswith("predictions") or key == "crosswalk"]
    if keys.run is not None:
        if other:
            raise RequestError(f"{other[0]}= makes no sense with run=: a run has its own model. Leave one of them out.")
        return None
    if keys.predictions is not None:
        return "predictions"
    if keys.predictions_label_space is not None:
        raise RequestError("predictions is missing. Type the folder of the masks: predictions=DIR")
    if request.config.model.get("onnx") is not None:
        return "onnx"
    if "model.output" in typed:
        raise RequestError(
            "model.output= names what model.onnx= predicts, which is missing. Type it, or leave this out."
        )
    weights = request.config.model.get("weights", "auto")  # an experiment= may name them
    return "weights" if "model.weights" in typed or weights not in FRESH else None


def settings_of_weights(request: Request) -> RunSettings:
    """The settings for the weights that `model.weights=` names. Raises a request error."""
    used = (*USED_KEYS, "model", "lightning_module", "experiment", "evaluation", "report.predictions")
    _refuse_unused(request, "model.weights=", "they are evaluated as they are", used, OF_TRAINING)
    model = request.config.model
    if model.get("task") not in (None, "segmentation"):
        raise RequestError(
            f"model={model.name} does {model.task}; external weights can be evaluated for segmentation only."
        )
    settings = resolved(request)
    weights = settings.model.weights
    if weights in FRESH:
        raise RequestError(
            f"model.weights={weights}: such a network cannot predict any class yet. Type model.weights=coco_voc, or the path "
            "of trained weights and model.label_space=NAME."
        )
    return settings


def settings_of_onnx(request: Request) -> RunSettings:
    """The settings for the ONNX file that `model.onnx=` names. Raises a request error."""
    used = (*USED_KEYS, *(f"model.{key}" for key in OF_ONNX), "evaluation", "report.predictions")
    _refuse_unused(request, "model.onnx=", "the file is evaluated as it is", used, OF_TRAINING)
    _check_has_masks(request, f"model.onnx={request.config.model.onnx} is evaluated with masks")
    given = {key: OmegaConf.to_container(request.config.model).get(key) for key in OF_ONNX}  # type: ignore[union-attr]
    file = absolute(str(given["onnx"]))
    network = {"_target_": ONNX_GRAPH, "file": file, "output": given["output"]}
    model = {"name": Path(file).stem, "task": "segmentation", "weights": "none", **given, "network": network}
    config = OmegaConf.merge(request.config, {})
    assert isinstance(config, DictConfig)
    config.model = model
    settings = resolved(replace(request, config=config))
    if settings.model.output == "ids" and settings.evaluation != EvaluationSettings():
        raise RequestError(
            "evaluation: class indices cannot be averaged, as model.output=ids predicts. Leave evaluation out."
        )
    return settings


def settings_of_predictions(request: Request) -> RunSettings:
    """The settings for the masks that `predictions=` names. Raises a request error."""
    used = (*USED_KEYS, "predictions", "predictions_label_space", "predictions_void_ids")
    unused = (*OF_TRAINING, "trainer.limit_batches")
    _refuse_unused(request, "predictions=", "the masks are there already", used, unused)
    _check_has_masks(request, "predictions= are masks")
    return resolved(request, task="segmentation")


def _check_has_masks(request: Request, what: str) -> None:
    """Raise RequestError for data without masks; `what` begins the sentence."""
    if "segmentation" not in (request.config.data.get("targets") or {}):
        raise RequestError(
            f"{what}, and data={request.config.data.name} has none to score them with. Type data=idd, "
            "data=idd_lite or data=mask_folder, and data.root=DIR."
        )


def _refuse_unused(request: Request, beside: str, why: str, used: Sequence[str], unused: Sequence[str]) -> None:
    """Raise RequestError for a typed key that would change nothing."""
    for key in request.typed_keys:
        if not has_effect(key, used, unused):
            raise RequestError(f"{beside} makes no sense with {key}=: {why}. Leave one of them out.")
