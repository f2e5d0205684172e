"""Pruning: a run that is a trial of a search ends early where its scores so far promise less than those of other trials."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from callbacks.errors import RunStopped
from run_files import SearchFile, read_json
from streams import print_to_stderr

if TYPE_CHECKING:  # it takes a while, and most runs are no trials
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage


class RunPruned(RunStopped):
    """The search that the run is a trial of has no further use for it; the message has the epoch and the score."""

    state = "pruned"

    def __init__(self, message: str) -> None:
        BaseException.__init__(self, message)
        self.code = 0


class Pruning(Checkpoint):  # Lightning calls these last, so that the epoch's state is saved by then
    """Reports each epoch's score to a trial of the search in the folder `sweep`, and raises RunPruned where its pruner decides so.

    A step of the trial is the number of epochs trained. The last one is reported, but not judged: the run is complete. A trial
    that has ended, as where a pruned run is resumed by hand, is left as it is.
    """

    def __init__(self, sweep: Path, number: int, headline: str) -> None:
        self.sweep, self.number = sweep, number
        self.search = read_json(sweep / "search.json", SearchFile)
        [objective] = self.search["objectives"]
        self.monitor = f"val/{headline if objective == 'headline' else objective}"
        self._message: str | None = None  # why the run is pruned

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the score and let the pruner decide, on the first rank for all."""
        score, epochs, most = trainer.callback_metrics.get(self.monitor), trainer.current_epoch + 1, trainer.max_epochs
        decided = score is not None and trainer.is_global_zero and self._decided(float(score), epochs, int(most or 1))
        if trainer.strategy.reduce_boolean_decision(decided, all=False):
            self._message = f"Pruned after epoch {epochs} of {most}: {self.monitor} {float(score or 0):.3f}"
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the run before it is evaluated, on every rank."""
        if self._message is not None:
            if trainer.is_global_zero:
                print(trainer.default_root_dir, flush=True)  # the last line of every command is the folder
            raise RunPruned(self._message)

    def _decided(self, score: float, epochs: int, most: int) -> bool:
        from optuna.exceptions import OptunaError

        try:
            storage, study, trial = self._opened
            found = storage.get_trial(trial)
            if found.state.is_finished():
                return False
            if epochs not in found.intermediate_values:  # a resumed run may have reported it
                storage.set_trial_intermediate_value(trial, epochs, score)
            return epochs < most and self._pruner(most).prune(study, storage.get_trial(trial))
        except (OptunaError, KeyError, ValueError, OSError) as error:  # the run matters more
            print_to_stderr(f"Nothing is pruned now: trial {self.number} of the search in {self.sweep}: {error}")
            return False

    def _pruner(self, most: int) -> "BasePruner":
        from optuna.pruners import HyperbandPruner, MedianPruner

        return MedianPruner() if self.search["pruner"] == "median" else HyperbandPruner(max_resource=most)

    @functools.cached_property
    def _opened(self) -> "tuple[BaseStorage, Study, int]":
        """The storage, the study and the trial's id in it."""
        import optuna
        from optuna.storages import JournalStorage, get_storage
        from optuna.storages.journal import JournalFileBackend

        journal, name = str(self.sweep / "journal.log"), self.search["study"]
        storage = get_storage(self.search["storage"] or JournalStorage(JournalFileBackend(journal)))
        study = optuna.load_study(study_name=name, storage=storage)
        identity = storage.get_study_id_from_name(name)
        return storage, study, storage.get_trial_id_from_study_id_trial_number(identity, self.number)
