"""The settings with which data is explored; needs no torch, so that a wrong request is refused at once."""

from entry.config.external import has_effect
from entry.config.resolve import resolved
from entry.errors import RequestError
from entry.request import Request
from settings.run import RunSettings

USED = ("task", "data", "aug", "model", "experiment", "seed", "report.html", "report.images", "predictions", "runs", "allow")  # fmt: skip


def settings_of(request: Request) -> RunSettings:
    """The settings for exploring `data=`: of the task that is typed, or of the model that is, else masks where there are some.

    Prints a note on typed keys without effect. Raises a request error.
    """
    config, task = request.config, request.keys.task
    targets = config.data.get("targets") or {}
    with_model = any(key.split(".")[0] in ("model", "experiment") for key in request.typed_keys)
    if with_model and task not in (None, config.model.get("task")):
        raise RequestError(f"task={task}: model={config.model.name} does {config.model.task}. Leave one of them out.")
    if task is not None and targets and task not in targets:
        raise RequestError(f"task={task}: data={config.data.name} serves {' and '.join(targets)} only. Leave it out.")
    if unused := [key for key in request.typed_keys if not has_effect(key, USED, ())]:
        print(f"note: without effect on exploring data: {', '.join(unused)}")
    if task is None and targets and not with_model:
        task = "segmentation" if "segmentation" in targets else next(iter(targets))
    return resolved(request, task=None if with_model else task)
