"""The folder of an evaluation: replaced as a whole, and only by one whose every file is there."""

from pathlib import Path

from entry.build import build_trainer
from entry.evaluation import collect, evaluate, find_checkpoint, load
from entry.request import to_yaml
from entry.runs import Run
from entry.session import session
from reports.evaluation import scores_of, write_tables
from reports.figures import write_figures
from run_folder import Status, read_csv, replace_folder, write_text


def evaluate_into(run: Run, *, checkpoint: str, split: str, first: bool = True) -> None:
    """Evaluate a checkpoint on a split, on every rank; the first one puts everything into evaluation/<split>."""
    folder, module, datamodule = run.folder, run.module, run.datamodule
    found = find_checkpoint(folder, checkpoint)
    load(module, found)
    trainer = build_trainer(run.config, run.machine, folder, headline=module.headline)
    if not first:
        evaluate(trainer, module, datamodule, split)
        return

    def fill(target: Path) -> None:
        write_text(target / "config.yaml", to_yaml(run.config))
        with session(Status(target / "status.json")):
            facts = evaluate(trainer, module, datamodule, split)
            evaluation = collect(run.config, folder, found, datamodule, split, facts)
            write_tables(target, evaluation, scores_of(evaluation))
            history = read_csv(folder.history) if folder.history.exists() else []
            write_figures(
                target / "figures",
                evaluation.facts["confusion"],
                evaluation.label_space.classes,
                split,
                history,
                datamodule.counts(),
                module.headline,
                datamodule.unit,
            )

    replace_folder(folder.evaluation(split), fill)
