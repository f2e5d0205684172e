"""Which exit code and which treatment each exception has."""

import errno
from types import SimpleNamespace

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


def noted(error, text):
    error.add_note(text)
    return error


def in_loader(error):
    """The error as it is raised where a batch of a worker is received."""
    code = compile("def receive(error):\n    raise error\n", "/site/torch/utils/data/dataloader.py", "exec")
    names = {}
    exec(code, names)  # noqa: S102
    try:
        names["receive"](error)
    except (OSError, EOFError) as raised:
        return raised


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
        (noted(RuntimeError("CUDA out of memory."), "The GPU's memory is used up by a step."), "CUDA out of memory.: The GPU's memory is used up by a step."),
        (noted(MemoryError(), "This machine's is."), "This machine's is."),
        (OSError("Caught OSError in DataLoader worker process 0.\nOriginal Traceback:\nOSError: [Errno 5] Input/output error: 'a.png'\n"),
         "OSError: [Errno 5] Input/output error: 'a.png': A device failed to read or write."),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"), "/dev/shm has "),
        (in_loader(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), "was ended, as by SIGKILL"),
        (in_loader(EOFError()), "was ended, as by SIGKILL"),
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


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), EOFError()])
def test_a_connection_elsewhere_is_no_matter_of_workers(error):
    assert shortage(error) is None


def test_a_full_dev_shm_is_told_from_a_full_disk(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=1 << 20, free=0))
    semaphore = OSError(errno.ENOSPC, "No space left on device")
    assert "Shared memory is full: /dev/shm has 1.0 MB, of which 0 bytes are free." in shortage(semaphore)
    assert "The disk is full" in shortage(OSError(errno.ENOSPC, "No space left on device", "/a/b"))


def test_a_bug_keeps_its_traceback(capsys):
    print_failure(caused_by(RuntimeError("a bug"), FileNotFoundError(errno.ENOENT, "No such file")))
    assert "RuntimeError: a bug" in capsys.readouterr().err.splitlines()[-1]
