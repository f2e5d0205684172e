"""What may change when a run is resumed; needs no torch, so that a wrong request is refused at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from entry.config.resolve import resolved
from entry.config.run_config import open_run, stored_settings, with_overrides
from entry.config.targets import check_targets
from entry.errors import RequestError
from entry.request import Request
from run_files import StatusFile, read_json
from run_folder import RunFolder, is_run
from settings.changes import changes
from settings.model import LIBRARIES
from settings.run import AUTO, RunSettings

# Keys that may change without the run becoming another one; a trailing dot stands for everything below.
OF_EVALUATION = ("report.predictions", "report.region_sizes", "report.html", "report.images", "report.gallery_iou",
                 "evaluation.")  # fmt: skip
OF_SPLIT = ("data.fraction", "data.split", "data.folds", "data.select_from")
LENGTH = ("trainer.max_epochs", "trainer.max_steps")
# Another order of sums, and nothing else. Of these the first two are hardware, of which a difference is noted anyway.
LAST_DIGITS = ("trainer.threads", "trainer.accelerator", "trainer.deterministic", "trainer.channels_last",
               "data.eval_batch_size", "trainer.compile")  # fmt: skip
HARMLESS = ("data.root", "data.num_workers", "data.cache", "data.cache_dir", "data.stage", "data.on_corrupt", *LENGTH, "trainer.progress",
            "trainer.timeout", "trainer.find_unused_parameters", "trainer.gradient_checkpointing", "checkpointing.", "logger.", *LAST_DIGITS, *OF_EVALUATION)  # fmt: skip
OUR_SCHEDULES = "lightning_modules.schedules."


@dataclass(frozen=True)
class Resumption:
    """A run that is resumed."""

    folder: RunFolder
    before: RunSettings  # its own
    settings: RunSettings  # those it goes on with
    changes: tuple[str, ...]  # the dotted keys whose values differ

    @property
    def is_finished(self) -> bool:
        """Whether the run is complete, and was not given more epochs."""
        now, before = self.settings.trainer, self.before.trainer
        more = (now.max_steps or now.max_epochs) > (before.max_steps or before.max_epochs)
        return (
            not more
            and self.folder.status.exists()
            and read_json(self.folder.status, StatusFile)["state"] == "finished"
        )


def to_resume(request: Request) -> Resumption | None:
    """The run that `resume=` names, with what was typed in place of its own values; None where auto finds none.

    Raises RequestError where there is none, or a changed key would make the rest of it another run.
    """
    if request.keys.resume == AUTO:
        if not request.folder_was_typed:
            raise RequestError("resume=auto goes on with the run in hydra.run.dir. Type hydra.run.dir=DIR with it.")
        if not is_run(request.folder):
            return None
        folder = RunFolder(request.folder)
        before, settings = stored_settings(folder), resolved(request)
        if before.trainer.max_steps and settings.trainer.max_steps:
            # Epochs follow from the steps: those in the folder did, those of the request are not in use.
            length = {"max_epochs": before.trainer.max_epochs}
            settings = settings.model_copy(update={"trainer": settings.trainer.model_copy(update=length)})
        kept, network = before.model, settings.model.network
        if network and network.target.startswith(LIBRARIES) and kept.mean and kept.std:
            settings = normalised(settings, kept.mean, kept.std)
    else:
        folder = open_run("resume", str(request.keys.resume))
        before, settings = with_overrides(folder, request)
    found = Resumption(folder, before, settings, tuple(changes(before, settings)))
    if not found.is_finished or request.keys.resume == AUTO:  # a folder of its own may hold another finished run
        _check_kept(found)
        harmful = [key for key in found.changes if not key.startswith(HARMLESS)]
        if harmful and not request.keys.resume_with_changes:
            raise RequestError(
                f"resume={folder.path}: {', '.join(harmful)} would make the rest of it another run. "
                "Leave it as it was, or type resume_with_changes=true."
            )
    check_targets(settings, request.allow)
    return found


def normalised(settings: RunSettings, mean: Sequence[float], std: Sequence[float]) -> RunSettings:
    """Settings in which the normalisation of images is written down, where it was not typed: it belongs to the weights that were found."""
    model = settings.model
    update = {"mean": model.mean or [*mean], "std": model.std or [*std]}
    return settings.model_copy(update={"model": model.model_copy(update=update)})


def _check_kept(resumption: Resumption) -> None:
    """Raise RequestError where a change does not fit what the folder and its checkpoint keep."""
    split = next((key for key in resumption.changes if key == "data.fold" or key.startswith(OF_SPLIT)), None)
    if split is not None:
        raise RequestError(
            f"{split}: the run has its split, in its split.csv, which is never made anew. Leave it as it was, or train another run."
        )
    now, before = resumption.settings.trainer, resumption.before.trainer
    if (now.max_steps is None) != (before.max_steps is None) or (now.max_steps and now.max_epochs != before.max_epochs):
        own = "max_epochs" if before.max_steps is None else "max_steps"
        raise RequestError(
            f"The length of this run is trainer.{own}={getattr(before, own)}. For another one type trainer.{own}=NUMBER."
        )
    if "optimizer._target_" in resumption.changes:
        raise RequestError(
            "optimizer: a checkpoint holds the state of its own optimiser, which another cannot continue from. Leave it as it was, "
            f"or train another run, from these weights with model.weights={resumption.folder.checkpoints / 'last.ckpt'}."
        )
    grouping = [each.optimizer.grouping for each in (resumption.before, resumption.settings)]
    if grouping[0] != grouping[1]:
        other = next(key for key in grouping[0] if grouping[0][key] != grouping[1][key])
        raise RequestError(
            f"optimizer.{other}: a checkpoint holds the optimiser's state by groups of weights, and with this change they would be "
            "others. Leave it as it was, or train another run."
        )
    key = next((key for key in resumption.changes if key.startswith(("optimizer.", "scheduler."))), None)
    targets = [settings.scheduler.target for settings in (resumption.before, resumption.settings)]
    if key and not all(target.startswith(OUR_SCHEDULES) for target in targets):
        raise RequestError(
            f"{key}: a schedule of torch's keeps its rates in the checkpoint. Leave it as it was, or train another run."
        )
