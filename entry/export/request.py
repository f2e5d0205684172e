"""What export.py is requested to write; needs no torch, so that a wrong request is refused at once."""

from importlib.util import find_spec
from pathlib import Path

from entry.config.external import has_effect
from entry.config.run_config import of_run
from entry.errors import RequestError
from entry.request import Request
from run_folder import RunFolder, free_name
from settings.export import ExportKeys
from settings.run import RunSettings

USED = ("run", "checkpoint", "data.eval_size", "allow", *ExportKeys.model_fields)
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def requested(request: Request) -> tuple[RunFolder, RunSettings, ExportKeys]:
    """The run to export, its settings, and how. Prints a note on typed keys without effect. Raises a request error."""
    keys = request.of(ExportKeys)
    folder, settings = of_run(request)
    if folder.is_export:
        raise RequestError(f"run={folder.path}: is an export already. Type the run that it was made of: run=RUN_FOLDER")
    typed = [key for key in ("input", "output", "shape") if key in request.typed_keys]
    if keys.format == "safetensors" and typed:
        raise RequestError(
            f"{typed[0]}= is for graphs, and format=safetensors holds weights. Type format=onnx with it, or leave it out."
        )
    if keys.output == "ids" and settings.model.task == "classification":
        raise RequestError(
            "output=ids is for segmentation, and this run's model predicts one class per image. Leave it out."
        )
    if keys.format == "onnx" and (missing := [name for name in PACKAGES if find_spec(name) is None]):
        raise RequestError(f"format=onnx needs {', '.join(missing)}. Type: pip install '.[export]'")
    if idle := [key for key in request.typed_keys if not has_effect(key, USED, ())]:
        print(f"note: without effect on an export: {', '.join(idle)}")
    return folder, settings, keys


def target_folder(request: Request) -> Path:
    """Where the export goes. Raises RequestError where a typed folder holds something."""
    if not request.folder_was_typed:
        return free_name(request.folder)
    if request.folder.exists() and any(request.folder.iterdir()):
        raise RequestError(f"hydra.run.dir={request.folder} exists and is not empty. Choose another folder.")
    return request.folder
