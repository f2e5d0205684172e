"""Weights & Biases as its own variables and files configure it: mode, account, the id of a run, and its logger."""

import contextlib
import netrc
import os
import secrets
import shlex
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger

from entry.errors import RequestError
from run_folder import RunFolder
from settings.run import RunSettings

MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
INIT_SECONDS = 30.0  # in which wandb's server has to answer before a run is recorded offline
FINISH_SECONDS = 20.0
_used_ids: set[str] = set()  # of WANDB_RUN_ID: a sweep's further jobs are runs of their own


def mode() -> str:
    """``online``, ``offline`` or ``disabled``: of WANDB_MODE, else whether there is an account. Raises RequestError."""
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    typed = os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline")
    if typed not in MODES:
        raise RequestError(f"WANDB_MODE={typed}: there is no such mode. Choose one of: online, offline, disabled")
    return MODES[typed]


def new_id() -> str:
    """WANDB_RUN_ID, or an id of our own where there is none or an earlier run of this process has it."""
    given = os.environ.get("WANDB_RUN_ID", "")
    if not given or given in _used_ids:
        return secrets.token_hex(4)
    _used_ids.add(given)
    return given


def build(
    settings: RunSettings, folder: RunFolder, identity: str, *, offline: bool, again: bool = False
) -> tuple[WandbLogger, str | None]:
    """The logger of a run of this id, begun with its settings, and the run's address, None where it is recorded offline.

    `again`: after this has failed, with a service of wandb's of its own.
    """
    place = _place(folder)
    place.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if not (os.environ.get("HOME") or os.environ.get("XDG_CACHE_HOME")):
        # Without a place for its own log wandb's service writes that to stderr.
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder.path / "wandb" / "cache"))
    os.environ.setdefault("WANDB_SILENT", "true")
    from wandb import Settings, termsetup

    quiet = Settings(
        silent=True,
        console="off",
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or INIT_SECONDS),
        finish_timeout=finish_timeout(),
        finish_timeout_raises=True,
    )
    termsetup(quiet, None)  # a run's own settings come too late: it would warn of what Lightning passes
    if again:
        end_service()  # it still holds the id
    logger = WandbLogger(
        name=os.environ.get("WANDB_NAME") or folder.path.name,
        id=identity,
        resume=None if offline else os.environ.get("WANDB_RESUME") or "allow",
        save_dir=place,
        project=settings.logger.project,
        entity=settings.logger.entity,
        group=settings.logger.group,
        tags=settings.logger.tags,
        offline=offline,
        log_model=False,
        settings=quiet,
    )
    logger.log_hyperparams(settings.to_dict())
    return logger, None if offline else logger.experiment.url


def finish_timeout() -> float:
    """Seconds that wandb has to send what it has not sent when a run ends; what is missing then is on disk."""
    return float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_SECONDS)


def end_service() -> None:
    """End wandb's own process, for which this one would wait when it exits, and forget it: a later logger starts another."""
    import psutil
    import wandb

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("wandb-core"):
                process.kill()
    with contextlib.suppress(Exception, SystemExit):  # as it has been killed
        wandb.teardown()


def sync_command(folder: RunFolder, identity: str) -> str:
    """What sends a run that was recorded offline, its resumed pieces joined in order."""
    place = _place(folder).absolute() / "wandb"
    numbered = list(
        place.glob(f"offline-run-*-{identity}-[0-9]*")
    )  # so named where it began in the second of the one before
    if numbered:
        pieces = shlex.join(map(str, sorted([*place.glob(f"offline-run-*-{identity}"), *numbered])))
    else:
        pieces = f"{shlex.quote(str(place))}/offline-run-*-{identity}"
    return f"wandb sync --id {identity} {pieces}"


def _place(folder: RunFolder) -> Path:
    return Path(os.environ.get("WANDB_DIR") or folder.path)


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
