"""Which exceptions speak to the user, and with which exit code."""

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import TrainingError, WeightsError
from run_folder import RunFolderError


class RequestError(ValueError):
    """A request that makes no sense; the message says what, where and what to do."""


class IncompleteError(RuntimeError):
    """What was asked for was done in part; the message says what was not."""


REQUEST_ERRORS = (RequestError, DatasetError, LabelSpaceError, WeightsError, RunFolderError)

__all__ = ["REQUEST_ERRORS", "IncompleteError", "RequestError", "RunStopped", "TrainingError"]
