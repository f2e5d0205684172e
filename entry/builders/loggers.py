"""The mirrors of a run: Weights & Biases, TensorBoard, or nothing beyond the run folder's own files."""

import contextlib
import logging
import netrc
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from entry.errors import exit_code
from run_folder import RunFolder, read_json, write_json
from settings.run import RunSettings
from settings.training import LoggerSettings

log = logging.getLogger(__name__)


def description(settings: RunSettings, before: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A run's loggers, for environment.json: all of them as `loggers`, and the first one as `logger`.

    Their ids are chosen here, so that a resumed run has the same; `before` are the loggers that it had.
    """
    known = {each["kind"]: dict(each) for each in before}
    found = [
        known.get(kind, {"kind": kind, "id": secrets.token_hex(4) if kind == "wandb" else None, "url": None})
        for kind in settings.logger.names
    ]
    return {"logger": found[0], "loggers": found}


def of_run(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The loggers in a run's environment.json; runs of earlier versions have one."""
    return list(facts.get("loggers") or [facts["logger"]])


@contextlib.contextmanager
def opened(settings: RunSettings, folder: RunFolder) -> Iterator[list[Logger]]:
    """The run's loggers, closed at the end with the exit code, so that a failed run is not shown as finished.

    Where one fails, a warning is logged and the run continues without it.
    """
    loggers = [logger for kind in settings.logger.names if (logger := _open(kind, settings, folder)) is not None]
    code = 1
    try:
        yield loggers
        code = 0
    except BaseException as error:
        code = exit_code(error)
        raise
    finally:
        for logger in loggers:
            try:
                _close(logger, code)
            except Exception as error:  # noqa: BLE001  whatever it is, the run is over and its files are written
                log.warning("The logger could not be closed: %s", error)


def _open(name: str, settings: RunSettings, folder: RunFolder) -> Logger | None:
    if name == "csv":
        return None
    try:
        logger = (
            _wandb(settings.logger, folder)
            if name == "wandb"
            else TensorBoardLogger(folder.path, name="", version="tensorboard")
        )
        logger.log_hyperparams(settings.to_dict())
    except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
        log.warning("The logger %s cannot be used, the run folder has everything: %s", name, error)
        return None
    return logger


def _close(logger: Logger, code: int) -> None:
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=code)
    else:
        logger.finalize("success" if code == 0 else "failed")


def _wandb(settings: LoggerSettings, folder: RunFolder) -> WandbLogger:
    offline = os.environ.get("WANDB_MODE", "online" if _has_account() else "offline") != "online"
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if not (os.environ.get("HOME") or os.environ.get("XDG_CACHE_HOME")):
        # Without a place for its own log wandb's service writes that to stderr.
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder.path / "wandb" / "cache"))
    from wandb import Settings, termsetup

    quiet = Settings(silent=True, console="off")
    termsetup(quiet, None)  # a run's own settings come too late: it would warn of what Lightning passes
    facts = read_json(folder.environment)
    own = next(each for each in of_run(facts) if each["kind"] == "wandb")
    logger = WandbLogger(
        name=folder.path.name,
        id=own["id"],
        resume=None if offline else "allow",
        save_dir=folder.path,
        project=settings.project,
        entity=settings.entity,
        group=settings.group,
        tags=settings.tags,
        offline=offline,
        log_model=False,
        settings=quiet,
    )
    url = None if offline else logger.experiment.url
    if url and url != own["url"]:
        own["url"] = url
        facts["logger"] = own if facts["logger"]["kind"] == "wandb" else facts["logger"]
        write_json(folder.environment, facts)
    return logger


def _has_account() -> bool:
    """Whether wandb would find a key by itself, without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC", str(Path.home() / ".netrc")))
    except (OSError, RuntimeError, netrc.NetrcParseError):  # RuntimeError: this user has no home
        return False
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].rstrip("/")
    return known.authenticators(host) is not None
