"""Which exit code and which treatment each exception has."""

import errno

import pytest

from callbacks.errors import RunStopped
from callbacks.pruning import RunPruned
from datamodules.errors import DatasetError
from entry.errors import (
    FAILURES,
    REQUEST_ERRORS,
    IncompleteError,
    RankError,
    RequestError,
    exit_code,
    print_failure,
    shortage,
)
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
        (RunPruned("Pruned after epoch 1."), 0),
        (KeyboardInterrupt(), 130),
    ],
)
def test_refused_is_2_failed_is_1_and_a_signal_is_128_and_its_number(error, code):
    assert exit_code(error) == code


def test_no_error_is_both_a_refusal_and_a_failure():
    assert not [failure for failure in FAILURES if issubclass(failure, REQUEST_ERRORS)]


def caused_by(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "printed"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "[Errno 28] No space left on device: '/a/b': The disk is full. Make room"),
        (caused_by(RuntimeError("writing failed"), OSError(errno.EDQUOT, "Disk quota exceeded")), "The disk quota is used up"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n 4096"),
        (OSError(errno.EROFS, "Read-only file system", "/a"), "hydra.run.dir=FOLDER"),
        (MemoryError(), "data.batch_size"),
        (RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback:\nRuntimeError: unable to allocate shared "
                      "memory(shm) for file </torch_1>: No space left on device (28)\n"), "--shm-size=1g), or type data.num_workers=0"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that …"), "--shm-size=1g"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "Type data.num_workers=0"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "trainer.accumulate=2"),
    ],
)  # fmt: skip
def test_what_the_machine_lacks_is_a_line_and_no_traceback(capsys, error, printed):
    print_failure(error)
    err = capsys.readouterr().err
    assert printed in err
    assert err.count("\n") == 1


def test_an_error_with_a_message_of_its_own_keeps_it():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert shortage(full) is not None
    assert shortage(caused_by(TrainingError("last.ckpt cannot be written"), full)) is None


def test_a_bug_keeps_its_traceback(capsys):
    print_failure(caused_by(RuntimeError("a bug"), FileNotFoundError(errno.ENOENT, "No such file")))
    assert "RuntimeError: a bug" in capsys.readouterr().err.splitlines()[-1]
