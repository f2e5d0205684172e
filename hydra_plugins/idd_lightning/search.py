"""A sweeper that searches: hydra/sweeper=optuna n_trials=40."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.idd_lightning._jobs import of_sweep

SAMPLERS, PRUNERS = ("tpe", "random", "grid"), ("median", "hyperband", "none")
NEVER_PRUNED = ("seconds", "parameters")  # objectives that no epoch has


class OptunaSweeper(Sweeper):
    """Gives the launcher the trials of an Optuna study, one whenever a slot is free."""

    def __init__(
        self,
        sampler: str,
        pruner: str,
        seed: int,
        storage: str | None,
        objectives: Sequence[str],
        params: Mapping[str, Any],
    ) -> None:
        self.sampler, self.pruner, self.seed, self.storage = sampler, pruner, seed, storage
        self.objectives, self.params = list(objectives), dict(params)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials. Raises CompactHydraException for a search that makes no sense."""
        launcher: Any = self.launcher
        assert self.hydra_context is not None
        assert self.config is not None
        n_trials = self.config.get("n_trials")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        parsed = parser.parse_overrides([each for each in (*params, *arguments) if not of_sweep(each)])
        overrides = {each.get_key_element(): each for each in parsed}.values()  # what is typed replaces what a file has
        searched = [each for each in overrides if each.is_sweep_override()]
        fixed = [str(each.input_line) for each in overrides if not each.is_sweep_override()]
        if problem := self._problem(bool(searched), hasattr(launcher, "run"), n_trials):
            raise CompactHydraException(problem)
        self.validate_batch_is_legal(
            [[*fixed, *map(_first, searched)]]
        )  # a key that does not exist is refused now, not by each trial
        from hydra_plugins.idd_lightning._study import Search, Trials

        folder = launcher.open()
        search = Search(
            storage=self._storage(),
            study=str(folder.path) if self.storage else "search",
            objectives=self.objectives,
            sampler=self.sampler,
            pruner=None if self.pruner == "none" else self.pruner,
            seed=self.seed,
            space={each.get_key_element(): str(each.input_line).partition("=")[2] for each in searched},
        )
        launcher.run(Trials(folder, search, searched, fixed, n_trials))

    def _storage(self) -> str | None:
        """The database's address, of which a path does not depend on where a job is started."""
        kind, separator, path = (self.storage or "").partition("sqlite:///")
        return f"{separator}{Path(path).absolute()}" if separator and not kind else self.storage

    def _problem(self, searches: bool, launches: bool, n_trials: int | None) -> str | None:
        """What makes no sense about the search, in a sentence."""
        pruned = [name for name in self.objectives if name in NEVER_PRUNED] or len(self.objectives) > 1
        found = {
            "hydra/sweeper=optuna searches with hydra/launcher=local alone, the default of train.py -m.": not launches,
            "There is nothing to search: type values for a key, such as 'optimizer.lr=tag(log,interval(1e-5,1e-2))', or hydra.sweeper.params in a file.": not searches,
            f"hydra.sweeper.sampler={self.sampler}: there is no such sampler. Choose one of: {', '.join(SAMPLERS)}": self.sampler not in SAMPLERS,
            f"hydra.sweeper.pruner={self.pruner}: there is no such pruner. Choose one of: {', '.join(PRUNERS)}": self.pruner not in PRUNERS,
            f"hydra.sweeper.seed={self.seed}: a whole number from 0 is needed.": not isinstance(self.seed, int) or self.seed < 0,
            "hydra.sweeper.objectives is empty. Leave it out for the score that chooses the best checkpoint.": not self.objectives,
            (f"hydra.sweeper.objectives=[{','.join(self.objectives)}] cannot be pruned by one validation score. Type hydra.sweeper.pruner=none"
             " with it."): pruned and self.pruner != "none",
            "A search needs its number of trials: n_trials=40. Only hydra.sweeper.sampler=grid has an end of its own.": (
                n_trials is None and self.sampler != "grid"),
        }  # fmt: skip
        return next((sentence for sentence, applies in found.items() if applies), None)


def _first(override: Override) -> str:
    """A sweep with one of its values."""
    sweep: Any = override.value()
    value = sweep.start if override.is_interval_sweep() else next(override.sweep_string_iterator(), "")
    return f"{override.get_key_element()}={value}"
