"""The folder of an evaluation: replaced as a whole, and only by one whose every file is there."""

from pathlib import Path

from datamodules.base import ImageDataModule
from entry.build import build_trainer
from entry.evaluation import collect, evaluate, find_checkpoint, load
from entry.request import to_yaml
from entry.runs import Run
from entry.session import session
from reports.evaluation import Evaluation, scores_of, write_tables
from reports.figures import write_figures
from run_folder import RunFolder, Status, read_csv, replace_folder, write_text


def evaluate_into(run: Run, *, checkpoint: str | None, split: str, first: bool = True) -> None:
    """Evaluate on a split, on every rank; the first one puts everything into evaluation/<split>.

    Args:
        run: with its module.
        checkpoint: best, last or a path; None: the weights that the module has already.
        split: which samples.
        first: whether this is the rank that writes.
    """
    folder, module, datamodule = run.folder, run.module, run.datamodule
    origin = {"file": run.weights.file, "epoch": None, "step": None}
    if checkpoint is not None:
        found = find_checkpoint(folder, checkpoint)
        load(module, found)
        origin = found.origin
    trainer = build_trainer(run.config, run.machine, folder, headline=module.headline)
    if not first:
        evaluate(trainer, module, datamodule, split)
        return

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(run.config))
        with session(Status(target / "status.json")):
            facts = evaluate(trainer, module, datamodule, split)
            evaluation = collect(run.config, folder, origin, datamodule, split, facts, run.crosswalk)
            write_results(target, folder, datamodule, evaluation)

    replace_folder(folder.evaluation(split), fill)


def write_results(target: Path, folder: RunFolder, datamodule: ImageDataModule, evaluation: Evaluation) -> None:
    """Write an evaluation's tables and figures into the folder `target`."""
    write_tables(target, evaluation, scores_of(evaluation))
    history = read_csv(folder.history) if folder.history.exists() else []
    write_figures(
        target / "figures",
        evaluation.facts["confusion"],
        evaluation.label_space.classes,
        evaluation.split,
        history,
        datamodule.counts(),
    )
