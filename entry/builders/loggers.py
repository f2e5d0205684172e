"""Which loggers a run has: Weights & Biases, TensorBoard, or nothing beyond the run folder's own files."""

from collections.abc import Mapping, Sequence
from typing import Any

from entry.builders import wandb_logger
from settings.run import RunSettings


def kinds_of(settings: RunSettings) -> tuple[str, ...]:
    """The loggers that are used, each once: csv in place of wandb where WANDB_MODE is disabled. Raises RequestError for an unknown mode."""
    typed = settings.logger.name
    names = [typed] if isinstance(typed, str) else typed
    disabled = "wandb" in names and wandb_logger.mode() == "disabled"
    return tuple(dict.fromkeys("csv" if disabled and name == "wandb" else name for name in names))


def description(settings: RunSettings, before: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A run's loggers, for environment.json: all of them as `loggers`, and the first one as `logger`.

    Their ids are chosen here, so that a resumed run has the same; `before` are the loggers that it had.
    """
    known = {each["kind"]: dict(each) for each in before}
    found = [
        known.get(kind, {"kind": kind, "id": wandb_logger.new_id() if kind == "wandb" else None, "url": None})
        for kind in kinds_of(settings)
    ]
    return {"logger": found[0], "loggers": found}


def of_run(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The loggers in a run's environment.json; runs of earlier versions have one."""
    return list(facts.get("loggers") or [facts["logger"]])
