"""The files of an evaluation and of its run, read once for a page."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from metrics.counts import Predictions
from reports.evaluation_files import read_samples, read_scores
from run_files import Environment, EpochRow, StatusFile, SweepRow, TimingRow, read_json, read_rows
from run_folder import RunFolder, RunFolderError
from settings.base import as_typed
from settings.changes import changes
from settings.run import RunSettings, validated

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows = Sequence[Mapping[str, str]]


TRIED = ("finished", "pruned")  # states of the jobs of a sweep among which one is chosen


@dataclass(frozen=True)
class EvaluationFiles:
    """What stands in the files of an evaluation's folder and of its run's; what does not exist is empty.

    Args:
        folder: the evaluation's.
        run: the run's.
        scores: scores.json.
        settings: the evaluation's config.yaml, as text.
        status: the evaluation's status.json.
        confusion: confusion.csv, (C+1, C+1) int64, rows truth, columns predictions, void last; None without truth.
        class_counts: class_counts.csv.
        sizes: image_sizes.csv.
        slices: slices.csv.
        calibration: calibration.csv.
        samples: the columns of per_sample.npz.
        environment: the run's environment.json.
        overrides: the lines of the run's overrides.txt.
        history: history.csv.
        timing: timing.csv.
        split: split.csv.
        contents: files.csv.
        jobs: sweep.csv of the sweep that the run is a job of.
    """

    folder: Path
    run: RunFolder
    scores: Mapping[str, Any]
    settings: str
    status: Mapping[str, Any]
    confusion: NDArray[np.int64] | None
    class_counts: Rows
    sizes: Rows
    slices: Rows
    calibration: Rows
    samples: Mapping[str, np.ndarray]
    environment: Mapping[str, Any]
    overrides: Sequence[str]
    history: Rows
    timing: Rows
    split: Rows
    contents: Rows
    jobs: Rows

    @property
    def rank(self) -> tuple[int, int] | None:
        """The place of the run's validation score among those of its sweep's jobs, from 1, and their number."""
        column = f"val/{self.environment.get('headline')}"
        values = {row["folder"]: float(row[column]) for row in self.jobs if row["state"] in TRIED and row.get(column)}
        own = values.get(self.run.path.name)
        return None if own is None else (1 + sum(value > own for value in values.values()), len(values))

    @property
    def names(self) -> list[str]:
        """The names of the C classes."""
        return [str(each["name"]) for each in self.scores["classes"]]

    @property
    def unit(self) -> str:
        """What the confusion matrix counts."""
        return "images" if self.scores["task"] == "classification" else "pixels"

    @property
    def changed(self) -> list[str]:
        """The settings of the evaluation that differ from the run's, as they would be typed."""
        run, own = (
            validated(RunSettings, yaml.safe_load(text))
            for text in (self.run.config.read_text(encoding="utf-8"), self.settings)
        )
        return [f"{key}={as_typed(value)}" for key, value in changes(run, own).items()]

    @cached_property
    def matrices(self) -> "csr_array":
        """The sparse counts of each of the N samples, (N, (C+1)²)."""
        from scipy.sparse import csr_array

        cells = self.samples["count"], self.samples["cell"], self.samples["indptr"]
        return csr_array(cells, shape=(len(self.samples["sample"]), (len(self.names) + 1) ** 2))

    @property
    def predictions(self) -> Predictions | None:
        """The class of each image; None for masks."""
        return Predictions(*(self.samples[name] for name in Predictions._fields)) if "target" in self.samples else None


def read_files(folder: Path, run: RunFolder) -> EvaluationFiles:
    """Read the files of an evaluation in `folder`, of a run. Raises RunFolderError naming one that is damaged."""
    scores, samples = read_scores(folder / "scores.json"), folder / "per_sample.npz"
    overrides = run.overrides.read_text(encoding="utf-8").splitlines() if run.overrides.exists() else []
    return EvaluationFiles(
        folder,
        run,
        scores=scores,
        settings=(folder / "config.yaml").read_text(encoding="utf-8"),
        status=read_json(folder / "status.json", StatusFile),
        confusion=_matrix(folder / "confusion.csv", len(scores["classes"]) + 1),
        class_counts=read_rows(folder / "class_counts.csv", _ClassCounts),
        sizes=read_rows(folder / "image_sizes.csv"),
        slices=read_rows(folder / "slices.csv"),
        calibration=read_rows(folder / "calibration.csv"),
        samples=read_samples(samples, len(scores["classes"])) if samples.exists() else {},
        environment=_environment(run),
        overrides=overrides,
        history=read_rows(run.history, EpochRow),
        timing=read_rows(run.timing, TimingRow),
        split=read_rows(run.split),
        contents=read_rows(run.files),
        jobs=read_rows(run.sweep / "sweep.csv", SweepRow) if run.sweep else [],
    )


def _environment(run: RunFolder) -> dict[str, Any]:
    """What environment.json has; of an export, which has none, what its manifest has of the run."""
    found: dict[str, Any] = {}
    if run.environment.exists():
        found = dict(read_json(run.environment, Environment))
    elif run.is_export:
        manifest = read_json(run.manifest)
        found = {"weights": manifest["weights"], "git_commit": manifest["git_commit"]["run"]}
    for name in ("weights", "git_commit", "headline"):
        found.setdefault(name, None)
    return {"notes": [], "skipped": []} | found


class _ClassCounts(BaseModel):
    """A row of class_counts.csv: the count in each split."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[int, Field(ge=0)]]

    name: str


def _matrix(path: Path, side: int) -> NDArray[np.int64] | None:
    """Return the counts of a table by place: a class may be called truth or void."""
    if not path.exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = np.array([row[1:] for row in list(csv.reader(file))[1:]], dtype=np.int64)
    except (ValueError, OverflowError, csv.Error) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    if found.shape != (side, side) or found.min() < 0:
        raise RunFolderError(f"{path} is damaged: it does not hold the counts of {side - 1} classes and void.")
    return found
