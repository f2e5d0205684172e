"""Train for many epochs in this process, and measure what could grow with them."""

import gc
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from callbacks.checkpoints import Checkpoints
from tests.conftest import make_image_folder, type_command

# A reading process that lives from epoch to epoch, augmentation, a checkpoint and a validation in each; no network to speak of.
KEYS = ("data=image_folder", "data.image_size=[8,8]", "data.batch_size=32", "data.num_workers=1", "data.cache=false", "aug=flip_rotate",
        "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv", "report.html=false")  # fmt: skip
# Bytes of the main process that a row of history.csv and one of timing.csv may take, which are kept until the end, and bytes
# that the allocator may hold beside, however long the run is.
OF_AN_EPOCH, OF_A_RUN = 6_000, 8 * 2**20


@dataclass(frozen=True)
class Measured:
    """The processes and the folder of a run at the end of an epoch."""

    epoch: int
    memory: int  # bytes of the main process that are in memory
    of_children: int  # bytes of the processes that read images
    descriptors: int  # open in all of them
    threads: int
    children: int
    files: int  # of the run folder
    seconds: float  # since the first epoch ended

    @property
    def fixed(self) -> tuple[int, ...]:
        """What may not grow at all."""
        return self.descriptors, self.threads, self.children, self.files


def soak(work: Path, epochs: int, first: int) -> tuple[Measured, Measured]:
    """Train for `epochs`; return what was measured at the end of the epoch number `first`, counted from 1, and of the last one."""
    data = make_image_folder(work / "pictures", per_class=10)
    run, found, began = work / "run", list[Measured](), list[float]()
    plain = Checkpoints.on_train_epoch_end

    def end(self: Checkpoints, trainer: object, *arguments: object) -> None:
        plain(self, trainer, *arguments)  # type: ignore[arg-type]
        began.append(time.monotonic())
        if len(began) in (first, epochs):
            found.append(measure(run, len(began), began[-1] - began[0]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_end", end)
        code = type_command("train", f"data.root={data}", f"hydra.run.dir={run}", f"trainer.max_epochs={epochs}", *KEYS)
    assert code == 0
    assert len(began) == epochs
    before, after = found
    return before, after


def measure(run: Path, epoch: int, seconds: float) -> Measured:
    """Measure this process, those that it has started, and a run folder."""
    gc.collect()
    own = psutil.Process()
    children = own.children(recursive=True)
    everyone = [own, *children]
    return Measured(
        epoch,
        own.memory_info().rss,
        sum(child.memory_info().rss for child in children),
        sum(each.num_fds() for each in everyone),
        sum(each.num_threads() for each in everyone),
        len(children),
        sum(path.is_file() for path in run.rglob("*")),
        seconds,
    )


def grown(before: Measured, after: Measured) -> list[str]:
    """Return what has grown by more than it may."""
    allowed = OF_A_RUN + OF_AN_EPOCH * (after.epoch - before.epoch)
    found = [name for name in ("memory", "of_children") if getattr(after, name) - getattr(before, name) > allowed]
    return found + ([] if after.fixed == before.fixed else ["descriptors, threads, children or files"])
