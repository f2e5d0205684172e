"""The mirror of a run: Weights & Biases, TensorBoard, or nothing beyond the run folder's own files."""

import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from run_folder import RunFolder

log = logging.getLogger(__name__)


def open_logger(config: Mapping[str, Any], folder: RunFolder) -> Logger | None:
    """The logger that conf/logger names. A mirror may fail: then the run goes on without it, and says so."""
    settings = config["logger"]
    if settings["name"] == "csv":
        return None
    try:
        logger = (
            _wandb(settings, folder)
            if settings["name"] == "wandb"
            else TensorBoardLogger(folder.path, name="", version="tensorboard")
        )
        logger.log_hyperparams(dict(config))
    except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
        log.warning("The logger %s cannot be used, the run folder has everything: %s", settings["name"], error)
        return None
    return logger


def describe(logger: Logger | None) -> dict[str, str | None]:
    """What environment.json says of the logger."""
    if isinstance(logger, WandbLogger):
        return {"kind": "wandb", "id": logger.experiment.id, "url": logger.experiment.url or None}
    return {"kind": "csv" if logger is None else "tensorboard", "id": None, "url": None}


def close_logger(logger: Logger | None, exit_code: int) -> None:
    """Close the logged run with the exit code, so that a failed run is not shown as finished."""
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=exit_code)
    elif logger is not None:
        logger.finalize("success" if exit_code == 0 else "failed")


def _wandb(settings: Mapping[str, Any], folder: RunFolder) -> WandbLogger:
    offline = os.environ.get("WANDB_MODE", "online" if _has_account() else "offline") != "online"
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    from wandb import Settings

    return WandbLogger(
        name=folder.path.name,
        save_dir=folder.path,
        project=settings["project"],
        entity=settings["entity"],
        group=settings["group"],
        tags=settings["tags"],
        offline=offline,
        log_model=False,
        settings=Settings(silent=True, console="off"),
    )


def _has_account() -> bool:
    """Whether wandb would find a key by itself, without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC", str(Path.home() / ".netrc")))
    except (OSError, netrc.NetrcParseError):
        return False
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].rstrip("/")
    return known.authenticators(host) is not None
