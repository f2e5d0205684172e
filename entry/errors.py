"""Which exceptions speak to the user, and with which exit code."""

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import TrainingError, WeightsError
from run_folder import RunFolderError
from settings.errors import SettingsError

DONE, FAILED, REFUSED = 0, 1, 2  # 128 + signal where a run was stopped


class RequestError(ValueError):
    """A request that makes no sense; the message says what, where and what to do."""


class IncompleteError(RuntimeError):
    """What was asked for was done in part; the message says what was not."""


class RankError(RuntimeError):
    """One of several processes did not come or did not last; the message says which, why and what to do."""


REQUEST_ERRORS = (RequestError, SettingsError, DatasetError, LabelSpaceError, WeightsError, RunFolderError)
FAILURES = (IncompleteError, TrainingError, RankError)  # spoken to the user without a traceback


def exit_code(error: BaseException | None) -> int:
    """What a command ends with after an error, or after none."""
    if error is None:
        return DONE
    if isinstance(error, RunStopped):
        return 128 + error.number
    if isinstance(error, KeyboardInterrupt):
        return 130
    return REFUSED if isinstance(error, REQUEST_ERRORS) else FAILED


__all__ = ["DONE", "FAILED", "FAILURES", "REFUSED", "REQUEST_ERRORS", "IncompleteError", "RankError", "RequestError", "RunStopped",
           "TrainingError", "exit_code"]  # fmt: skip
