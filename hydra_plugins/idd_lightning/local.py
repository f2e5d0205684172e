"""The launcher of `train.py -m`: a process of its own for each job, on the GPUs and cores of this machine."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.idd_lightning._jobs import (
    OF_SWEEP,
    Job,
    Record,
    Source,
    Sweep,
    SweepEnded,
    config_folders,
    quoted,
    typed,
)
from run_folder import SWEEP, free_name, is_run, now, write_text

# A logger records what a job does, and changes nothing.
NOT_HASHED = (*OF_SWEEP, "sweep", "resume", "resume_with_changes", "allow", "logger", "hydra")
BEST = "experiment/best.yaml"
PAGE = "sweep.html"
PROJECT = Path(__file__).resolve().parents[2]


class LocalLauncher(Launcher):
    """Runs the jobs of a `Source`, as many at once as there are slots."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by other sweepers, which hand over a batch and wait for all of it."""
        raise HydraException(
            "This sweeper waits for whole batches. Type hydra/launcher=basic with it, or leave hydra/sweeper out."
        )

    def open(self) -> Sweep:
        """The folder of the sweep: a new one, or that of `sweep.resume`. Raises HydraException where it holds another sweep."""
        if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
            raise HydraException("-m starts the processes of its jobs itself. Type it without torchrun or srun.")
        folder = Path(self.config.hydra.sweep.dir).absolute()
        if self.config.sweep.resume is not None:
            self.sweep = Sweep.open(folder)
            return self.sweep
        if (folder / SWEEP).exists():
            if any(str(each).startswith("hydra.sweep.dir=") for each in self.config.hydra.overrides.hydra):
                raise HydraException(
                    f"hydra.sweep.dir={folder} already holds a sweep. Choose another folder, or go on with it: sweep.resume={folder}"
                )
            folder = free_name(folder)
        self.sweep = Sweep(folder)
        return self.sweep

    def run(self, source: Source) -> None:
        """Run all jobs of a source, then write and print the result. Raises SweepEnded where not all went well."""
        from hydra_plugins.idd_lightning._table import print_result, shown

        sweep = self.sweep
        sweep.create(self._typed(), now())
        with shown(sweep, self.slots, source.varied) as screen:
            jobs = self.jobs(source, screen)
            code = jobs.run(source)
        if {*jobs.states.values()} == {"refused"} and not any(sweep.path.glob("[0-9]*")):
            shutil.rmtree(sweep.path)
            print("Every job was refused, so the sweep's folder was removed with its logs.", flush=True)
            raise SweepEnded(code)
        print_result(screen)
        self._finish(sweep)
        if code:
            raise SweepEnded(code)

    @cached_property
    def slots(self) -> int:
        """How many jobs run at once."""
        return len(self._slots)

    @cached_property
    def _slots(self) -> list[Any]:
        from hydra_plugins.idd_lightning._slots import slots_of, visible_devices

        config = self.config
        devices = [] if config.trainer.accelerator == "cpu" else visible_devices(os.environ)
        return list(slots_of(config.jobs, config.jobs_per_device, devices))

    @property
    def after_failures(self) -> dict[str, Any]:
        """How what runs the jobs goes on after one has failed."""
        return {"retries": self.config.retries, "stop_on_failure": self.config.on_failure == "stop"}

    def jobs(self, source: Source, screen: Any) -> Any:
        """What runs the jobs of a source."""
        from hydra_plugins.idd_lightning._pool import Pool

        return Pool(
            self.sweep,
            self._slots,
            self.prepare,
            self.command,
            screen,
            **self.after_failures,
        )

    def prepare(self, job: Job) -> None:
        """Compose a job's settings: their hash, and the GPUs that it needs. What cannot be composed is refused when it starts."""
        try:
            config = self._composed(job.overrides)
        except Exception:  # noqa: BLE001  the job's own process prints what is wrong, and where
            job.hash = hashlib.sha256(repr(job.overrides).encode()).hexdigest()
            return
        job.hash = hash_of(config)
        wanted = config.trainer.devices
        job.devices = wanted if isinstance(wanted, int) and config.trainer.accelerator != "cpu" else 1

    def command(self, job: Job) -> list[str]:
        """What to run for a job: its training, or the rest of it where it was interrupted."""
        folder = self.sweep.folder(job.number)
        if not is_run(folder):
            return [sys.executable, *self.beginning(job)]
        allowed = [each for each in job.overrides if each.startswith("allow=")]
        return [sys.executable, str(PROJECT / "train.py"), f"resume={quoted(folder)}", *allowed]

    def beginning(self, job: Job) -> list[str]:
        """What Python is given for a job's training."""
        place = f"hydra.run.dir={quoted(self.sweep.folder(job.number))}"
        return [str(PROJECT / "train.py"), *config_folders(self.config.hydra), *job.overrides, "hydra.mode=RUN", place]

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        return self.context.config_loader.load_sweep_config(self.config, list(overrides))

    def _typed(self) -> list[str]:
        """The command line, as `sweep.resume` repeats it: without packages that were allowed, which have to be typed again."""
        hydras = self.config.hydra
        once = ("hydra.sweep.dir=", "hydra.mode=", "hydra.launcher.wait=")  # of this command, not of the sweep
        of_hydra = [str(each) for each in hydras.overrides.hydra if not str(each).startswith(once)]
        task = OmegaConf.to_container(hydras.overrides.task, resolve=False)
        assert isinstance(task, list)
        kept = [str(each) for each in task if not str(each).startswith(("allow=", "sweep.resume="))]
        return [*config_folders(hydras), *of_hydra, *kept]

    def _finish(self, sweep: Sweep) -> None:
        """Write the best job as an experiment, and the page; print where they are."""
        print(f"table: {sweep.path / 'sweep.csv'}")
        best = sweep.best()
        if best is not None:
            (sweep.path / BEST).parent.mkdir(exist_ok=True)
            write_text(sweep.path / BEST, self._as_experiment(best))
            tried = sum(record.state in ("finished", "pruned") for record in sweep.records.values())
            score = f"val/{best.headline} {best.score:.3f}, the best of {tried} jobs"
            print(f"best: job {best.number}, {score}; as an experiment: {sweep.path / BEST}")
            print(
                f"to score it on the reported split, once: python evaluate.py {typed('sweep', sweep.path)}", flush=True
            )
        _print_page(sweep.path)
        print(sweep.path, flush=True)

    def _as_experiment(self, best: Record) -> str:
        """An experiment with all settings of a job, so that later defaults do not change it."""
        config = self._composed(best.overrides)
        plain = {
            key: value
            for key, value in as_plain(config).items()
            if key not in {*NOT_HASHED, "lightning_module"} or key == "logger"
        }
        chosen = as_plain(config.hydra.runtime.choices)
        groups = sorted({path.parent.name for path in (PROJECT / "conf").glob("*/*.yaml")})
        choices = {group: chosen.get(group) for group in groups if group not in ("common", "experiment", "hydra")}
        defaults = [*({f"override /{group}": option} for group, option in choices.items()), "_self_"]
        head = f"# @package _global_\n# Job {best.number}: {' '.join(best.overrides)}\n"
        return head + str(yaml.safe_dump({"defaults": defaults, **plain}, sort_keys=False, allow_unicode=True))


def as_plain(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain data, its interpolations as they are written."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def hash_of(config: DictConfig) -> str:
    """The hash of a job's settings, without what has no influence on its result."""
    plain = {key: value for key, value in as_plain(config).items() if key not in NOT_HASHED}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _print_page(folder: Path) -> None:
    """Let compare.py make the page of a sweep, and print where it is; a sweep does not fail for want of it."""
    command = [sys.executable, str(PROJECT / "compare.py"), f"runs={quoted(folder)}"]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    if answer.returncode or not (folder / PAGE).exists():
        print(f"There is no page: {(answer.stderr.splitlines() or [''])[0]}")
    else:
        print(f"page: {folder / PAGE}", flush=True)
