"""The mirrors of a run: Weights & Biases, TensorBoard, or nothing beyond the run folder's own files."""

import contextlib
import logging
import netrc
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from entry.errors import RequestError, exit_code
from run_folder import RunFolder, read_json, write_json
from settings.run import RunSettings
from settings.training import LoggerSettings
from streams import waiting

log = logging.getLogger(__name__)

MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_used_ids: set[str] = set()  # of WANDB_RUN_ID: a sweep's further jobs are runs of their own


def kinds_of(settings: RunSettings) -> tuple[str, ...]:
    """The loggers that are used: csv in place of wandb where WANDB_MODE is disabled. Raises RequestError for an unknown mode."""
    names = settings.logger.names
    disabled = "wandb" in names and wandb_mode() == "disabled"
    return tuple(dict.fromkeys("csv" if disabled and name == "wandb" else name for name in names))


def wandb_mode() -> str:
    """``online``, ``offline`` or ``disabled``: of WANDB_MODE, else whether there is an account. Raises RequestError."""
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    typed = os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline")
    if typed not in MODES:
        raise RequestError(f"WANDB_MODE={typed}: there is no such mode. Choose one of: online, offline, disabled")
    return MODES[typed]


def _new_id() -> str:
    given = os.environ.get("WANDB_RUN_ID", "")
    if not given or given in _used_ids:
        return secrets.token_hex(4)
    _used_ids.add(given)
    return given


def description(settings: RunSettings, before: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A run's loggers, for environment.json: all of them as `loggers`, and the first one as `logger`.

    Their ids are chosen here, so that a resumed run has the same; `before` are the loggers that it had.
    """
    known = {each["kind"]: dict(each) for each in before}
    found = [
        known.get(kind, {"kind": kind, "id": _new_id() if kind == "wandb" else None, "url": None})
        for kind in kinds_of(settings)
    ]
    return {"logger": found[0], "loggers": found}


def of_run(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The loggers in a run's environment.json; runs of earlier versions have one."""
    return list(facts.get("loggers") or [facts["logger"]])


@contextlib.contextmanager
def opened(settings: RunSettings, folder: RunFolder) -> Iterator[list[Logger]]:
    """The run's loggers, for its first process, closed at the end with the exit code, so that a failed run is not shown as finished.

    Where one fails, a warning is logged and the run continues without it.
    """
    # Lightning takes a stray LOCAL_RANK or SLURM_PROCID for a number of this process, and would leave the logger silent.
    cast(Any, rank_zero_only).rank = 0
    loggers = [logger for kind in kinds_of(settings) if (logger := _open(kind, settings, folder)) is not None]
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
        with waiting(f"{name} to begin{'; WANDB_MODE=offline records without a network' * (name == 'wandb')}"):
            logger.log_hyperparams(settings.to_dict())
    except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
        log.warning("The logger %s cannot be used, the run folder has everything: %s", name, error)
        return None
    return logger


def _close(logger: Logger, code: int) -> None:
    if isinstance(logger, WandbLogger):
        with waiting("wandb to send what was recorded; the run folder is complete"):
            logger.experiment.finish(exit_code=code)
    else:
        logger.finalize("success" if code == 0 else "failed")


def _wandb(settings: LoggerSettings, folder: RunFolder) -> WandbLogger:
    offline = wandb_mode() == "offline"
    place = Path(os.environ.get("WANDB_DIR") or folder.path)
    place.mkdir(parents=True, exist_ok=True)
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
        name=os.environ.get("WANDB_NAME") or folder.path.name,
        id=own["id"],
        resume=None if offline else os.environ.get("WANDB_RESUME") or "allow",
        save_dir=place,
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
