"""Which exceptions are messages for the user, and their exit codes."""

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import TrainingError, WeightsError
from run_folder import RunFolderError
from settings.errors import SettingsError

DONE, FAILED, REFUSED = 0, 1, 2  # 128 + signal where a run was stopped


class RequestError(ValueError):
    """A request that makes no sense; the message has what, where and what to do."""


class IncompleteError(RuntimeError):
    """A request that was carried out in part; the message names what was not."""


class RankError(RuntimeError):
    """One of several processes did not start or failed; the message names which, why and what to do."""


REQUEST_ERRORS = (RequestError, SettingsError, DatasetError, LabelSpaceError, WeightsError, RunFolderError)
FAILURES = (IncompleteError, TrainingError, RankError)  # printed without a traceback


def exit_code(error: BaseException | None) -> int:
    """The exit code after an error, or after none."""
    if error is None:
        return DONE
    if isinstance(error, RunStopped):
        return 128 + error.number
    if isinstance(error, KeyboardInterrupt):
        return 130
    return REFUSED if isinstance(error, REQUEST_ERRORS) else FAILED


__all__ = ["RunStopped", "TrainingError", "exit_code"]
