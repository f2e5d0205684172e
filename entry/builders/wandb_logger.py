"""Weights & Biases as its own variables and files configure it: mode, account, the id of a run, and its logger."""

import netrc
import os
import secrets
import shlex
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger

from entry.errors import RequestError
from run_folder import RunFolder
from settings.training import LoggerSettings

MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
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


def build(settings: LoggerSettings, folder: RunFolder, identity: str) -> tuple[WandbLogger, str | None]:
    """The logger of a run of this id, and the run's address, None where it is recorded offline."""
    offline = mode() == "offline"
    place = _place(folder)
    place.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if not (os.environ.get("HOME") or os.environ.get("XDG_CACHE_HOME")):
        # Without a place for its own log wandb's service writes that to stderr.
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder.path / "wandb" / "cache"))
    from wandb import Settings, termsetup

    quiet = Settings(silent=True, console="off")
    termsetup(quiet, None)  # a run's own settings come too late: it would warn of what Lightning passes
    logger = WandbLogger(
        name=os.environ.get("WANDB_NAME") or folder.path.name,
        id=identity,
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
    return logger, None if offline else logger.experiment.url


def sync_command(folder: RunFolder, identity: str) -> str | None:
    """What sends a run that was recorded offline, its resumed pieces joined in order; None where it was sent already."""
    if mode() != "offline":
        return None
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
