"""Which exit code and which treatment each exception has."""

import pytest

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError
from entry.errors import FAILURES, REQUEST_ERRORS, IncompleteError, RankError, RequestError, exit_code
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import TrainingError, WeightsError
from run_folder import RunFolderError
from settings.errors import SettingsError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        *((kind("x"), 2) for kind in (RequestError, DatasetError, LabelSpaceError, WeightsError, RunFolderError)),
        (SettingsError(["x"]), 2),
        *((kind("x"), 1) for kind in (IncompleteError, TrainingError, RankError, RuntimeError, ValueError)),
        (RunStopped(10), 138),
        (KeyboardInterrupt(), 130),
    ],
)
def test_refused_is_2_failed_is_1_and_a_signal_is_128_and_its_number(error, code):
    assert exit_code(error) == code


def test_no_error_is_both_a_refusal_and_a_failure():
    assert not [failure for failure in FAILURES if issubclass(failure, REQUEST_ERRORS)]
