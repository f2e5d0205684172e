"""A second copy of a run on another disk, made in the background while it trains; the run can be resumed from it alone."""

import contextlib
import itertools
import os
import shutil
import threading
import time
from pathlib import Path
from typing import BinaryIO

from callbacks.links import link
from run_folder import RunFolder, RunFolderError, atomic, write_text
from streams import print_to_stderr, waiting

LONGEST_END = 600.0  # seconds for which the end of a training waits for the mirror
BLOCK = 1 << 22  # bytes that are copied at once
WHERE = "mirror.txt"  # in the run's folder and in the mirror: the path of the mirror


class Mirror:
    """Copies what a resume needs of the run in the folder `run` into a folder of its name in `root`.

    That is ``root/<name of the run>``, of a sweep's job ``root/<name of the sweep>/<number>``; where that is taken, with a suffix
    _2, _3, …. A thread copies, a copy at a time: what is written meanwhile is left for the next one. Each file is replaced as a
    whole, and last.ckpt is the last of them. A copy that fails is reported, and costs nothing else. The folder itself, where the
    run is resumed in its mirror, has none.
    """

    def __init__(self, run: Path, root: Path) -> None:
        self._run, self._root = RunFolder(run), root
        self._place: Path | None = None  # the mirror, once it is known
        self._locked, self._lock = False, contextlib.ExitStack()  # against a resume in the mirror while the run lasts
        self._copied: dict[str, tuple[int, ...]] = {}  # by name in the run's folder: which file it was
        self.idle = threading.Event()
        self.idle.set()
        self._wanted = self._step = 0  # of the checkpoint to be copied, and of the one that was
        self._copies = self._failures = 0
        self._failing, self._reason = False, ""  # whether the last copy failed, and why the last one that did

    def copy(self, step: int) -> None:
        """Begin to copy the files that have changed, with the checkpoint of a step; never waits."""
        self._wanted = step
        known = self._known()
        if self.idle.is_set() and (known is None or not known.samefile(self._run.path)):
            self.idle.clear()
            threading.Thread(target=self._work, args=(step,), name="mirror", daemon=True).start()

    def end(self) -> None:
        """Wait for the copy that is being made, and for one of what was written meanwhile; report how many have failed."""
        until = time.monotonic() + LONGEST_END
        self.idle.wait(LONGEST_END)
        if self._step != self._wanted:
            self.copy(self._wanted)
            self.idle.wait(max(0.0, until - time.monotonic()))
        if self.idle.is_set():
            self._lock.close()
            self._locked = False
        late = "" if self.idle.is_set() else f"the last one has not ended after {LONGEST_END:.0f} s; "
        if self._failures or late:
            failed = f"{self._failures} of {self._copies} copies failed ({self._reason}); " if self._failures else ""
            has = f"it has the checkpoint of step {self._step}" if self._step else "it has no checkpoint"
            print_to_stderr(f"warning: the mirror {self._place or self._root}: {failed}{late}{has}, the run that of step {self._wanted}.")  # fmt: skip
            self._failures = 0

    def _work(self, step: int) -> None:
        self._copies += 1
        try:
            with waiting(f"the mirror {self._place or self._root}"):
                self._copy()
            self._step, self._failing = step, False
        except (OSError, RunFolderError) as error:
            before, self._failing = self._failing, True
            self._failures, self._reason = self._failures + 1, str(error)
            if not before:
                print_to_stderr(f"warning: the mirror {self._place or self._root} cannot be written: {error}. The training goes on without it, and each checkpoint tries again.")  # fmt: skip
        finally:
            self.idle.set()

    def _copy(self) -> None:
        place = self._opened()
        (place / "checkpoints").mkdir(exist_ok=True)
        run = self._run
        names = [
            run.path / WHERE,
            run.config,
            run.overrides,
            run.environment,
            run.split,
            run.files,
            run.label_space,
            run.crosswalk,
        ]
        names += [run.history, run.timing, run.skipped, run.checkpoints / "best.ckpt", run.checkpoints / "last.ckpt"]
        with contextlib.ExitStack() as stack:
            files: dict[str, BinaryIO] = {}
            # Opened in the reverse order: what is replaced meanwhile is newer than what refers to it, or as old.
            for path in reversed(names):
                with contextlib.suppress(FileNotFoundError):
                    files[str(path.relative_to(run.path))] = stack.enter_context(path.open("rb"))
            for name in reversed(files):
                self._copy_file(name, files[name], place)

    def _copy_file(self, name: str, file: BinaryIO, place: Path) -> None:
        facts = os.fstat(file.fileno())
        stamp = facts.st_ino, facts.st_size, facts.st_mtime_ns
        if self._copied.get(name) == stamp:
            return
        best = "checkpoints/best.ckpt"
        if name != best and self._copied.get(best) == stamp:
            link(place / best, place / name)
        else:
            with atomic(place / name) as target:
                shutil.copyfileobj(file, target, BLOCK)
        self._copied[name] = stamp

    def _opened(self) -> Path:
        """The mirror, claimed for this run where it has none yet, and locked."""
        if self._place is None:
            self._place = self._known() or self._claimed()
            print_to_stderr(f"mirror: {self._place}")
        if not self._locked:
            self._lock.enter_context(RunFolder(self._place).in_use())
            self._locked = True
        return self._place

    def _known(self) -> Path | None:
        """The mirror that the run has already."""
        try:
            place = Path((self._run.path / WHERE).read_text(encoding="utf-8").rstrip("\n"))
        except OSError:
            return None
        return place if place.is_relative_to(self._root) and place.is_dir() else None

    def _claimed(self) -> Path:
        run = self._run.path
        wanted = self._root / run.relative_to(run.parent.parent if self._run.sweep else run.parent)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            place = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
            with contextlib.suppress(FileExistsError):
                place.mkdir()
                break
        with contextlib.suppress(OSError):  # only a resume would miss it
            write_text(run / WHERE, f"{place}\n")
        return place
