"""The loggers of a run while it trains: opened before its first step, closed after its last."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from entry.builders import wandb_logger
from entry.builders.loggers import kinds_of, of_run
from entry.errors import exit_code
from run_folder import RunFolder, read_json, write_json
from settings.run import RunSettings
from streams import waiting

log = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(settings: RunSettings, folder: RunFolder) -> Iterator[list[Logger]]:
    """The run's loggers, for its first process, closed at the end with the exit code, so that a failed run is not shown as finished.

    Where one fails, a warning is logged and the run continues without it.
    """
    # Lightning takes a stray LOCAL_RANK or SLURM_PROCID for a number of this process, and would leave the logger silent.
    cast(Any, rank_zero_only).rank = 0
    kinds = (kind for kind in kinds_of(settings) if kind != "csv")
    loggers = [logger for kind in kinds if (logger := _open(kind, settings, folder)) is not None]
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
                _close(logger, folder, code)
            except Exception as error:  # noqa: BLE001  whatever it is, the run is over and its files are written
                log.warning("The logger could not be closed: %s", error)


def _open(name: str, settings: RunSettings, folder: RunFolder) -> Logger | None:
    try:
        logger = (
            _open_wandb(settings, folder)
            if name == "wandb"
            else TensorBoardLogger(folder.path, name="", version="tensorboard")
        )
        with waiting(f"{name} to begin{'; WANDB_MODE=offline records without a network' * (name == 'wandb')}"):
            logger.log_hyperparams(settings.to_dict())
    except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
        log.warning("The logger %s cannot be used, the run folder has everything: %s", name, error)
        return None
    setattr(logger, "log_metrics", _until_it_fails(logger.log_metrics, name))  # noqa: B010  mypy takes methods for constants
    return logger


def _until_it_fails(log_metrics: Callable[..., None], name: str) -> Callable[..., None]:
    """A logger's method that logs nothing more once it has failed, such as after its own process was killed: training goes on."""
    failed = False

    def call(*arguments: Any, **keys: Any) -> None:
        nonlocal failed
        try:
            if not failed:
                log_metrics(*arguments, **keys)
        except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
            failed = True
            log.warning(
                "The logger %s fails and is left out from now on, the run folder has everything: %s", name, error
            )

    return call


def _open_wandb(settings: RunSettings, folder: RunFolder) -> WandbLogger:
    """The logger of the id in environment.json, where its address is written."""
    facts = read_json(folder.environment)
    own = next(each for each in of_run(facts) if each["kind"] == "wandb")
    logger, url = wandb_logger.build(settings.logger, folder, own["id"])
    if url and url != own["url"]:
        own["url"] = url
        facts["logger"] = of_run(facts)[0]
        write_json(folder.environment, facts)
    return logger


def _close(logger: Logger, folder: RunFolder, code: int) -> None:
    if isinstance(logger, WandbLogger):
        with waiting("wandb to send what was recorded; the run folder is complete"):
            logger.experiment.finish(exit_code=code)
        if command := wandb_logger.sync_command(folder, str(logger.version)):
            print(f"wandb: recorded offline; to send it: {command}", flush=True)
    else:
        logger.finalize("success" if code == 0 else "failed")
