"""The default sweeper of `train.py -m`: every combination of the values that were typed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep, of_sweep


class GridSweeper(BasicSweeper):
    """Hands all jobs to the launcher at once. Nothing is composed before a job starts: one that is refused ends no sweep."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs. Another launcher than ours gets them as Hydra's own sweeper would hand them over."""
        launcher: Any = self.launcher
        if not hasattr(launcher, "run"):
            return super().sweep(arguments)
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        overrides = parser.parse_overrides([each for each in (*params, *arguments) if not of_sweep(each)])
        varied = list(dict.fromkeys(each.get_key_element() for each in overrides if each.is_sweep_override()))
        [batch] = self.split_arguments(overrides, None)
        launcher.run(Grid(batch, varied, launcher.open(), launcher.prepare))
        return None


class Grid:
    """The jobs of a grid in their order. Where the sweep is resumed, a job with the settings of an earlier one is that one."""

    def __init__(
        self, batch: Sequence[Sequence[str]], varied: Sequence[str], sweep: Sweep, prepare: Callable[[Job], None]
    ) -> None:
        self.sweep, self.prepare, self.total, self.varied = sweep, prepare, len(batch), varied
        self._free = dict(sweep.records)  # earlier jobs that none of the present ones is
        self._numbers = iter(_unused(sweep.records))
        self._jobs = list(self._numbered([tuple(overrides) for overrides in batch]))
        self._place = 0

    def next(self) -> Job | None:
        """The next job, with the hash of its settings."""
        if self._place == len(self._jobs):
            return None
        job = self._jobs[self._place]
        self._place += 1
        self.prepare(job)
        known = self.sweep.records.get(job.number)
        if known is not None and known.hash != job.hash:  # the defaults in conf/ have changed since
            job.number = next(self._numbers)
        if job.number not in self.sweep.records and self._free:
            same = next((n for n, record in self._free.items() if record.hash == job.hash), None)
            job.number = job.number if same is None else same
        self._free.pop(job.number, None)
        return job

    def waiting(self) -> Sequence[Job]:
        """The jobs that were not given yet."""
        return self._jobs[self._place :]

    def ended(self, job: Job, record: Record) -> None:
        """Nothing follows from how a job ended."""

    def _numbered(self, batch: Sequence[tuple[str, ...]]) -> Iterator[Job]:
        for overrides in batch:
            same = next((n for n, record in self._free.items() if tuple(record.overrides) == overrides), None)
            if same is not None:
                del self._free[same]
            yield Job(next(self._numbers) if same is None else same, overrides)


def _unused(records: dict[int, Record]) -> Iterator[int]:
    number = max(records, default=-1)
    while True:
        yield (number := number + 1)
