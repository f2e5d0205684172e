"""The trials of a search: Hydra's sweep grammar as Optuna's distributions, and a study that several processes may share."""

import contextlib
import fcntl
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import CompactHydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from hydra_plugins.idd_lightning._jobs import Job, Record, Sweep
from run_files import SearchFile, read_json
from run_folder import write_json

MINIMISED = ("seconds", "parameters", "loss")
JOURNAL = "journal.log"
Space = Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Search:
    """What search.json holds."""

    storage: str | None  # a database's address; None: journal.log beside it
    study: str  # its name there
    objectives: list[str]
    sampler: str
    pruner: str | None
    seed: int
    space: dict[str, str]  # by key, as it was typed

    def keep(self, folder: Path) -> None:
        """Write search.json. Raises CompactHydraException where the folder holds another search."""
        file = folder / "search.json"
        before = read_json(file, SearchFile) if file.exists() else asdict(self)
        for name in ("space", "objectives", "storage"):
            if before[name] != getattr(self, name):
                raise CompactHydraException(
                    f"{folder} holds a search whose {name} is {before[name]}, not {getattr(self, name)}. Leave it as it was, or "
                    "begin a new search without sweep.resume."
                )
        write_json(file, asdict(self))


def distribution(override: Override) -> BaseDistribution:
    """What a value of an override is drawn from. Raises CompactHydraException where Optuna has no such distribution."""
    sweep, text = override.value(), override.input_line
    found: BaseDistribution
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"} or (tags and override.is_choice_sweep()):
        raise CompactHydraException(
            f"{text}: the only tag is log, of intervals and ranges, as in tag(log,interval(1e-5,1e-2))."
        )
    try:
        if isinstance(sweep, IntervalSweep):
            kind: Any = IntDistribution if isinstance(sweep.start, int) else FloatDistribution
            found = kind(sweep.start, sweep.end, log="log" in tags)
            return found
        if isinstance(sweep, RangeSweep):
            values = list(sweep.range())  # without its end, as everywhere in Hydra
            kind = FloatDistribution if isinstance(sum(values), float) else IntDistribution
            found = kind(min(values), max(values), step=abs(sweep.step), log="log" in tags)
            return found
    except ValueError as error:
        raise CompactHydraException(f"{text}: {error}") from None
    if isinstance(sweep, ChoiceSweep):
        sweep.shuffle = False  # a study's choices keep their order
    choices = dict(zip(override.sweep_string_iterator(), override.sweep_iterator(), strict=True))
    plain = [value if isinstance(value, int | float) else text for text, value in choices.items()]
    return CategoricalDistribution(plain if len({*plain}) == len(plain) else [*choices])  # 1 and true are equal


def grid_of(overrides: Sequence[Override]) -> dict[str, list[Any]]:
    """The values of a grid by key. Raises CompactHydraException for an interval, which has no end of them."""
    grid = {}
    for override in overrides:
        if override.is_interval_sweep():
            raise CompactHydraException(
                f"{override.input_line}: a grid needs values, as in choice(A,B) or range(START,STOP,STEP); or type hydra.sweeper.sampler=tpe."
            )
        found = distribution(override)
        several = found.choices if isinstance(found, CategoricalDistribution) else override.sweep_iterator()
        grid[override.get_key_element()] = list(several)
    return grid


class Trials:
    """The trials of a search as jobs, in a study that other processes may work on: `count` in all, whatever becomes of them.

    Parameters are a function of the seed, the trial's number and the results that were known. Locks of the sweep's folder, which end
    with a process however it ends, tell the trials of others from those that nobody works on any more: these are taken up again.
    """

    def __init__(
        self, sweep: Sweep, search: Search, overrides: Sequence[Override], fixed: Sequence[str], count: int | None
    ) -> None:
        self.search, self.fixed = search, tuple(fixed)
        self.space: Space = {each.get_key_element(): distribution(each) for each in overrides}
        self.grid = grid_of(overrides) if search.sampler == "grid" else {}
        most = math.prod(map(len, self.grid.values()))
        self.count = min(count or most, most) if self.grid else count or 0
        self.varied = list(self.space)
        self._own: set[int] = set()
        self._storage, self.study = _opened(sweep, search)
        self._study_id = self._storage.get_study_id_from_name(search.study)
        # Opened once: the locks end when any descriptor of the file is closed.
        self._locks = (sweep.path / "search.lock").open("ab")
        self.total: int | None = self.count - len(_begun(self.study.get_trials(deepcopy=False)))

    def next(self) -> Job | None:
        """The next trial: one that was interrupted, or a new one."""
        with self._alone():
            trials = self.study.get_trials(deepcopy=False)
            left = (trial.number for trial in trials if trial.state == TrialState.RUNNING)
            number = next((each for each in left if each not in self._own and self._lock(1 + each)), None)
            if number is not None:
                self.study.sampler = self._sampler(
                    number
                )  # for parameters that were not drawn before it was interrupted
                trial = Trial(self.study, self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))
            elif len(_begun(trials)) < self.count:
                self.study.sampler = self._sampler(len(trials))
                trial = self.study.ask()
                self._lock(1 + trial.number)
            else:
                return None
            self._own.add(trial.number)
            self.total = self.count - len([each for each in _begun(trials) if each.number not in self._own])
            drawn = {key: _drawn(trial, key, each) for key, each in self.space.items()}
        return Job(trial.number, (*self.fixed, *(f"{key}={value}" for key, value in drawn.items())))

    def waiting(self) -> Sequence[Job]:
        """None: a trial's parameters are drawn when it starts."""
        return ()

    def ended(self, job: Job, record: Record) -> None:
        """Tell the study. A stopped trial goes on when the sweep is resumed. Raises CompactHydraException for an objective that runs lack."""
        if record.state == "stopped":
            return
        values = self._values(record) if record.state == "finished" else None
        state = TrialState.COMPLETE if values else TrialState.PRUNED if record.state == "pruned" else TrialState.FAIL
        with contextlib.suppress(RuntimeError):  # a grid's sampler wants to stop Optuna's own loop after the last trial
            self.study.tell(job.number, values, state, skip_if_finished=True)

    def _values(self, record: Record) -> list[float] | None:
        """The objectives' values, None where one is missing; scores that are not finite are."""
        known: dict[str, float | None] = {
            "headline": record.score,
            "seconds": record.seconds,
            "parameters": record.parameters,
        }
        known |= {name.removeprefix("val/"): score for name, score in record.scores.items()}
        if unknown := [name for name in self.search.objectives if record.scores and name not in known]:
            raise CompactHydraException(
                f"hydra.sweeper.objectives: job {record.number} has no {' and no '.join(unknown)}. Choose from: {', '.join(known)}"
            )
        values = [known.get(name) for name in self.search.objectives]
        return None if None in values else [float(each) for each in values if each is not None]

    def _sampler(self, number: int) -> BaseSampler:
        if self.search.sampler == "grid":
            return GridSampler(self.grid, self.search.seed)
        seed = int(np.random.SeedSequence([self.search.seed, number]).generate_state(1)[0])
        return TPESampler(seed=seed) if self.search.sampler == "tpe" else RandomSampler(seed)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._lock(0, wait=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 0)

    def _lock(self, place: int, *, wait: bool = False) -> bool:
        """Lock a byte of the file of locks: 0 to ask for trials, 1 + number for a trial. True also without locks of the file system."""
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def _opened(sweep: Sweep, search: Search) -> tuple[BaseStorage, optuna.Study]:
    """The study of a search, in the sweep's folder or a database. Raises CompactHydraException where there is another one, or none can be."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = sweep.path
    begun = (folder / "search.json").exists()
    if sweep.records and not begun:
        raise CompactHydraException(
            f"{folder} holds a sweep that is no search. Leave hydra/sweeper=optuna out, or begin a new one."
        )
    try:
        storage = get_storage(search.storage) if search.storage else None
        folder.mkdir(parents=True, exist_ok=True)
        search.keep(folder)
        storage = storage or JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        lowest, highest = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
        directions = [lowest if name in MINIMISED else highest for name in search.objectives]
        study = optuna.create_study(
            storage=storage, study_name=search.study, directions=directions, load_if_exists=begun
        )
    except CompactHydraException:
        raise
    except Exception as error:  # whatever the driver of a database raises
        reason = str(error).splitlines()[0]
        raise CompactHydraException(
            f"hydra.sweeper.storage={search.storage or folder / JOURNAL} cannot be used: {reason}"
        ) from error
    return storage, study


def _begun(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were started; others wait since somebody enqueued them."""
    return [trial for trial in trials if trial.state != TrialState.WAITING]


def _drawn(trial: Trial, key: str, found: BaseDistribution) -> Any:
    """A trial's value of a key, drawn now unless it was before."""
    several = {CategoricalDistribution: trial.suggest_categorical, IntDistribution: trial.suggest_int}
    suggest: Any = several.get(type(found), trial.suggest_float)
    return suggest(key, **json.loads(distribution_to_json(found))["attributes"])
