"""Which exceptions are messages for the user, and their exit codes."""

import errno
import re
import shutil
import traceback
from collections.abc import Iterator

from rich.filesize import decimal

from callbacks.errors import RunStopped
from datamodules.errors import DatasetError, UnreadableError
from label_spaces.space import LabelSpaceError
from lightning_modules.errors import NetworkError, TrainingError, WeightsError
from run_folder import RunFolderError
from settings.errors import SettingsError
from streams import print_to_stderr

DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 128  # STOPPED + signal where a run was stopped


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
FAILURES = (
    IncompleteError,
    RequirementError,
    ExportError,
    TrainingError,
    RankError,
    UnreadableError,
)  # printed without a traceback


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
FULL = "Shared memory is full: {room}. Enlarge it (docker run --shm-size=1g), or type data.num_workers=0"
ENDED = (
    "A process that reads images was ended, as by SIGKILL, which the kernel sends where the memory is used up. "
    "Type data.num_workers=0, or fewer, or a smaller data.batch_size"
)
IN_WORDS = {  # what torch reports as RuntimeError
    **dict.fromkeys(("unable to allocate shared memory", "unable to write to file </torch", "bus error"), FULL),
    "too many open files": SHORTAGES[errno.EMFILE],
    "dataloader worker": ENDED,
    "dataloader timed out": "A process that reads images does not answer. Look at the disk that they are on, or type data.num_workers=0",
}
OF_DEVICE = "The GPU's memory is used up. Type a smaller data.batch_size, or trainer.accumulate=2, and a smaller data.eval_batch_size"


def shortage(error: BaseException) -> str | None:
    """What this machine lacked, where that is why something failed; None for errors with a message of their own, and bugs."""
    if isinstance(error, (*REQUEST_ERRORS, *FAILURES)):
        return None
    for cause in _chain(error):
        text = next((line for line in reversed(str(cause).splitlines()) if line.strip()), "")
        if advice := _advice(cause, text):
            return f"{text}: {advice}" if text else advice
    return None


def _advice(cause: BaseException, text: str) -> str | None:
    """Return what was lacking and what to do, by the type of an error and by the last line of its text."""
    from callbacks.out_of_memory import lacks_memory  # needs torch, which --help is quick without

    if lacks_memory(cause):
        host = isinstance(cause, MemoryError) or "can't allocate" in text
        return " ".join(getattr(cause, "__notes__", ())) or (SHORTAGES[errno.ENOMEM] if host else OF_DEVICE)
    if isinstance(cause, (ConnectionError, EOFError)) and _in_loader(cause):  # it was to pass on a batch
        return ENDED
    if isinstance(cause, OSError):
        found = re.search(r"\[Errno (\d+)\]", text)  # of a loader's worker, which passes on the text alone
        number = cause.errno or (int(found[1]) if found else 0)
        if number == errno.ENOSPC and cause.filename is None and not _room()[1]:  # for a semaphore
            return FULL.format(room=_room()[0])
        return SHORTAGES.get(number)
    if isinstance(cause, RuntimeError):
        known = [advice for words, advice in IN_WORDS.items() if words in str(cause).lower()]
        return known[0].format(room=_room()[0]) if known else None
    return None


def _in_loader(error: BaseException) -> bool:
    """Whether an error was raised where a batch of a loader's worker was waited for."""
    files = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    return any("torch/utils/data/" in file for file in files)


def _room() -> tuple[str, bool]:
    """Return how large shared memory is and how much of it is free, and whether any is."""
    from datamodules.loading.dataset import PAGE, SHARED_MEMORY  # needs torch

    try:
        facts = shutil.disk_usage(SHARED_MEMORY)
    except OSError:
        return f"there is no {SHARED_MEMORY}", False
    return f"{SHARED_MEMORY} has {decimal(facts.total)}, of which {decimal(facts.free)} are free", facts.free >= PAGE


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
