"""Which exceptions are messages for the user, and their exit codes."""

import errno
import traceback
from collections.abc import Iterator

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import NetworkError, TrainingError, WeightsError
from run_folder import RunFolderError
from settings.errors import SettingsError
from streams import print_to_stderr

DONE, FAILED, REFUSED = 0, 1, 2  # 128 + signal where a run was stopped


class RequestError(ValueError):
    """A request that makes no sense; the message has what, where and what to do."""


class IncompleteError(RuntimeError):
    """A request that was carried out in part; the message names what was not."""


class RequirementError(RuntimeError):
    """A run that does not have what `require=` names; the message has each condition and what was found."""


class ExportError(RuntimeError):
    """An export that does not predict what the network does; the message has where and by how much."""


class RankError(RuntimeError):
    """One of several processes did not start or failed; the message names which, why and what to do."""


REQUEST_ERRORS = (RequestError, SettingsError, DatasetError, LabelSpaceError, NetworkError, WeightsError, RunFolderError)  # fmt: skip
FAILURES = (IncompleteError, RequirementError, ExportError, TrainingError, RankError)  # printed without a traceback


def exit_code(error: BaseException | None) -> int:
    """The exit code after an error, or after none."""
    if error is None:
        return DONE
    if isinstance(error, RunStopped):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return REFUSED if isinstance(error, REQUEST_ERRORS) else FAILED


SHORTAGES = {
    errno.ENOSPC: "The disk is full. Make room; a run goes on with: python train.py resume=RUN_FOLDER",
    errno.EDQUOT: "The disk quota is used up. Make room; a run goes on with: python train.py resume=RUN_FOLDER",
    errno.EROFS: "The file system is read-only. Choose another folder: hydra.run.dir=FOLDER",
    errno.EMFILE: "Too many files are open. Allow more: ulimit -n 4096, or read with fewer processes: data.num_workers=0",
    errno.ENFILE: "Too many files are open on this machine. Read with fewer processes: data.num_workers=0",
    errno.EAGAIN: "No further process or thread can be started. Allow more: ulimit -u, or type data.num_workers=0 trainer.threads=1",
    errno.ENOMEM: "The memory is used up. Type a smaller data.batch_size and data.eval_batch_size, or data.num_workers=0",
    errno.EIO: "A device failed to read or write. Look at the disk and at the system's log.",
    errno.ESTALE: "A network file system has lost the file. Mount it again.",
}
IN_WORDS = {  # what torch reports as RuntimeError
    "unable to allocate shared memory": "Shared memory (/dev/shm) is full. Enlarge it (docker run --shm-size=1g), or type data.num_workers=0",
    "bus error": "Shared memory (/dev/shm) is full. Enlarge it (docker run --shm-size=1g), or type data.num_workers=0",
    "too many open files": SHORTAGES[errno.EMFILE],
    "dataloader worker": "A process that reads images was ended, perhaps as the memory is used up. Type data.num_workers=0, or fewer.",
    "dataloader timed out": "A process that reads images does not answer. Look at the disk that they are on, or type data.num_workers=0",
    "out of memory": "The device's memory is used up. Type a smaller data.batch_size, or trainer.accumulate=2, and a smaller data.eval_batch_size",
    "can't allocate memory": SHORTAGES[errno.ENOMEM],
}


def shortage(error: BaseException) -> str | None:
    """What this machine lacked, where that is why something failed; None for errors with a message of their own, and bugs."""
    if isinstance(error, (*REQUEST_ERRORS, *FAILURES)):
        return None
    for cause in _chain(error):
        text = str(cause)
        if isinstance(cause, MemoryError):
            return SHORTAGES[errno.ENOMEM]
        if isinstance(cause, OSError) and cause.errno in SHORTAGES:
            return f"{text}: {SHORTAGES[cause.errno]}"
        known = [advice for words, advice in IN_WORDS.items() if words in text.lower()]
        if isinstance(cause, RuntimeError) and known:
            return f"{next(line for line in reversed(text.splitlines()) if line.strip())}: {known[0]}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def print_failure(error: Exception) -> None:
    """Print what the machine lacked, or the traceback of a bug."""
    message = shortage(error)
    if message is None:
        traceback.print_exception(error)
    else:
        print_to_stderr(message)


__all__ = ["RunStopped", "TrainingError", "exit_code"]
