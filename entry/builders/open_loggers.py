"""The loggers of a run while it trains: opened before its first step, closed after its last; a failing one costs the run nothing."""

import contextlib
import logging
import queue
import shlex
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from entry.builders import wandb_logger
from entry.builders.loggers import kinds_of, of_run
from entry.errors import exit_code
from run_files import Environment, read_json
from run_folder import RunFolder, write_json
from settings.run import RunSettings
from streams import waiting

MOST_WAITING = 10_000  # records; a logger that is so far behind does not answer
CLOSING_SECONDS = 10.0  # beside wandb's own limit, in which what was recorded last is handed over
RECORDING = (
    "log_metrics",
    "log_table",
    "log_image",
    "save",
    "finalize",
)  # methods of loggers that are called while a run lasts

log = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(settings: RunSettings, folder: RunFolder) -> Iterator[list[Logger]]:
    """The run's loggers, for its first process, closed at the end with the exit code, so that a failed run is not shown as finished.

    Where one fails, a warning is logged and the run continues without it. wandb cannot delay a step: it is called in a thread.
    """
    # Lightning takes a stray LOCAL_RANK or SLURM_PROCID for a number of this process, and would leave the logger silent.
    cast(Any, rank_zero_only).rank = 0
    kinds = (kind for kind in kinds_of(settings) if kind != "csv")
    loggers = [found for kind in kinds if (found := _open(kind, settings, folder)) is not None]
    code = 1
    try:
        yield [each.logger for each in loggers]
        code = 0
    except BaseException as error:
        code = exit_code(error)
        raise
    finally:
        for each in loggers:
            each.close(code)


@dataclass(eq=False)
class _Opened:
    """A logger whose recording methods do nothing more once one has failed, such as after its own process was killed.

    With `in_thread` they are called in one, in their order: then a service, disk or network that does not answer delays nothing.
    """

    logger: Logger
    name: str
    folder: RunFolder
    in_thread: bool = False
    offline: bool = False  # wandb: whether it has to be sent later
    _failed: bool = False
    _calls: queue.Queue[Callable[[], Any] | None] = field(default_factory=lambda: queue.Queue(MOST_WAITING))
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        for name in RECORDING:
            if plain := getattr(self.logger, name, None):
                setattr(self.logger, name, partial(self._record, plain))
        if self.in_thread:
            self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
            self._thread.start()

    def close(self, code: int) -> None:
        """End the record of a run that ends with an exit code, within limits, and print how to send what wandb has not sent."""
        if not isinstance(self.logger, WandbLogger):
            self.logger.finalize("success" if code == 0 else "failed")
            return
        run, limit = self.logger.experiment, wandb_logger.finish_timeout() + CLOSING_SECONDS
        with waiting("wandb to send what was recorded; the run folder is complete"):
            self._record(run.finish, exit_code=code)
            with contextlib.suppress(queue.Full):
                self._calls.put_nowait(None)
            cast(threading.Thread, self._thread).join(limit)
        if cast(threading.Thread, self._thread).is_alive():
            self._leave_out(f"it has not ended after {limit:.0f} s")
        if self._failed:
            wandb_logger.end_service()
        if self.offline:
            command = wandb_logger.sync_command(self.folder, str(self.logger.version))
            print(f"wandb: recorded offline; to send it: {command}", flush=True)
        elif self._failed:
            print(
                f"wandb: to send what it has on disk: wandb sync {shlex.quote(str(Path(run.dir).parent))}", flush=True
            )

    def _record(self, method: Callable[..., Any], *given: Any, **keys: Any) -> None:
        call = partial(self._call, method, *given, **keys)
        if self._thread is None:
            call()
        elif not self._failed:
            try:
                self._calls.put_nowait(call)
            except queue.Full:
                self._leave_out("it does not answer")

    def _call(self, method: Callable[..., Any], *given: Any, **keys: Any) -> None:
        try:
            if not self._failed:
                method(*given, **keys)
        except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
            self._leave_out(str(error.__cause__ or error))  # Lightning takes a full disk for values that it cannot log

    def _leave_out(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            log.warning(
                "The logger %s fails and is left out from now on, the run folder has everything: %s", self.name, reason
            )

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _open(name: str, settings: RunSettings, folder: RunFolder) -> _Opened | None:
    try:
        if name == "wandb":
            with waiting("wandb to begin; WANDB_MODE=offline records without a network"):
                return _open_wandb(settings, folder)
        if getattr(threading.excepthook, "func", None) is not _report_thread:
            threading.excepthook = partial(_report_thread, threading.excepthook)
        logger = TensorBoardLogger(folder.path, name="", version="tensorboard")
        logger.log_hyperparams(settings.to_dict())
    except Exception as error:  # noqa: BLE001  whatever it is, the local files are the run
        log.warning("The logger %s cannot be used, the run folder has everything: %s", name, error)
        return None
    return _Opened(logger, name, folder)


def _report_thread(report: Callable[[Any], Any], failure: threading.ExceptHookArgs) -> None:
    """Report what ended a thread, unless it is TensorBoard's, which raises the error again where something is recorded.

    Its traceback would be printed while Python shuts down, which ends the process by SIGABRT where stderr is in use.
    """
    if not type(failure.thread).__module__.startswith("tensorboard."):
        report(failure)


def _open_wandb(settings: RunSettings, folder: RunFolder) -> _Opened:
    """The logger of the id in environment.json, where its address is written; offline where it cannot be reached."""
    facts = read_json(folder.environment, Environment)
    own = next(each for each in of_run(facts) if each["kind"] == "wandb")
    offline = wandb_logger.mode() == "offline"
    try:
        logger, url = wandb_logger.build(settings, folder, own["id"], offline=offline)
    except Exception as error:  # no network, no answer, a wrong key
        if offline:
            raise
        log.warning("The logger wandb records offline, to be sent later: %s", error)
        offline = True
        logger, url = wandb_logger.build(settings, folder, own["id"], offline=offline, again=True)
    if url and url != own["url"]:
        own["url"] = url
        facts["logger"] = of_run(facts)[0]
        write_json(folder.environment, facts)
    return _Opened(logger, "wandb", folder, in_thread=True, offline=offline)
