"""The launcher that submits jobs to SLURM, through submitit: hydra/launcher=slurm."""

import shlex
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.idd_lightning._jobs import Job, Source, Sweep
from hydra_plugins.idd_lightning.local import PROJECT, LocalLauncher

if TYPE_CHECKING:
    from submitit import SlurmExecutor

    from hydra_plugins.idd_lightning._task import Task

FILES = "slurm"  # the folder of scripts and logs, within that of a run or of a sweep
MOST = 256  # jobs of an array at once, unless jobs=N is typed
AT_ONCE = 4  # trials of a search
MINUTES = 1  # submitit's own limit, of which nothing depends: sbatch gets the time as it was typed


class SlurmLauncher(LocalLauncher):
    """Submits the jobs of a `Source` and follows them; `submit_run` submits a single run. The keys are those of conf/hydra/launcher."""

    def __init__(self, **keys: Any) -> None:
        self.keys: dict[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for key, value in keys.items()
        }
        self._known: dict[tuple[str, ...], DictConfig] = {}

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        key = tuple(overrides)
        if key not in self._known:  # composing takes a quarter of a second, and several questions need it
            self._known[key] = super()._composed(overrides)
        return self._known[key]

    @cached_property
    def slots(self) -> int:
        """How many jobs run at once, as far as that is known."""
        return int(self.config.jobs or AT_ONCE)

    def open(self) -> Sweep:
        """The folder of the sweep, as `LocalLauncher.open`. Raises HydraException where the script of a search is wanted."""
        if self.keys["print"] and "search" in str(self.config.hydra.sweeper._target_):
            raise HydraException(
                "launcher.print=true shows what a single run or a grid would submit. Leave it out with a search."
            )
        return super().open()

    def run(self, source: Source) -> None:
        """Submit all jobs and follow them, or print what would be submitted. Raises SweepEnded where not all went well."""
        if self.keys["print"]:
            jobs = [job for job in iter(source.next, None) if job is not None]
            for group in self._groups(jobs):
                commands = [self.command(job) for job in group]
                print_script(self._executor(self.sweep.path, self._composed(group[0].overrides)), commands)
            return
        try:
            super().run(source)
        except HydraException:  # sbatch refused them
            if not any(record.slurm_job for record in self.sweep.records.values()):
                shutil.rmtree(self.sweep.path)
            raise

    def jobs(self, source: Source, screen: Any) -> Any:
        """What submits and follows the jobs of a source."""
        from hydra_plugins.idd_lightning._queue import Queue

        return Queue(
            self.sweep,
            self.prepare,
            self.submit,
            screen,
            at_once=None if source.waiting() else self.slots,
            **self.after_failures,
            wait=self.keys["wait"],
        )

    def command(self, job: Job) -> list[str]:
        """What each task of a job gives to Python; begun again, it goes on with its run."""
        return [*self.beginning(job), *self._devices(self._composed(job.overrides)), "resume=auto"]

    def submit(self, jobs: Sequence[Job]) -> list[str]:
        """Submit jobs, those that need the same as one array, and return their numbers. Raises HydraException."""
        from hydra_plugins.idd_lightning._task import Task

        numbers: dict[int, str] = {}
        for group in self._groups(jobs):
            executor = self._executor(self.sweep.path, self._composed(group[0].overrides))
            tasks = [Task(tuple(self.command(job)), str(self.sweep.path), job.number) for job in group]
            numbers |= zip((job.number for job in group), submitted(executor, tasks), strict=True)
        return [numbers[job.number] for job in jobs]

    def submit_run(self, folder: Path, config: DictConfig, arguments: Sequence[str]) -> str | None:
        """Submit one run, and return the job's number; None where what would be submitted is printed. Raises HydraException."""
        from hydra_plugins.idd_lightning._task import Task

        self.config = config
        command = [str(PROJECT / "train.py"), *arguments, *self._devices(config)]
        executor = self._executor(folder, config)
        if self.keys["print"]:
            print_script(executor, [command])
            return None
        return submitted(executor, [Task(tuple(command))])[0]

    def _groups(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Jobs that need the same nodes and devices, together."""
        groups: dict[tuple[Any, ...], list[Job]] = {}
        for job in jobs:
            trainer = self._composed(job.overrides).trainer
            groups.setdefault((trainer.num_nodes, trainer.devices, trainer.accelerator), []).append(job)
        return list(groups.values())

    def _tasks(self, config: DictConfig) -> int:
        """The tasks on each node: one for each device. Raises HydraException where their number is not known here."""
        devices = config.trainer.devices
        if devices == "auto" and config.trainer.accelerator == "cpu":
            return 1
        if devices == "auto":
            devices = self.keys["gpus_per_node"]
        if not devices:
            raise HydraException(
                "trainer.devices=auto: how many GPUs a node has is not known here. Type trainer.devices=N, or launcher.gpus_per_node=N."
            )
        return int(devices)

    def _devices(self, config: DictConfig) -> list[str]:
        return [f"trainer.devices={self._tasks(config)}"] if config.trainer.devices == "auto" else []

    def _executor(self, folder: Path, config: DictConfig) -> "SlurmExecutor":
        """What makes the script and calls sbatch. Raises HydraException where there is no SLURM."""
        from submitit import SlurmExecutor

        class ScriptExecutor(SlurmExecutor):
            """Makes scripts, also where there is no SLURM."""

            @classmethod
            def affinity(cls) -> int:
                return 1

        keys, tasks = self.keys, self._tasks(config)
        gpus = keys["gpus_per_node"]
        if gpus is None and config.trainer.accelerator != "cpu":
            gpus = tasks
        inside = f"apptainer exec --nv {shlex.quote(keys['container'])} python" if keys["container"] else None
        if not self.keys["print"] and SlurmExecutor.affinity() < 0:
            raise HydraException(
                "hydra/launcher=slurm: srun is not found. Type this on a login node of the cluster, or launcher.print=true to see "
                "what would be submitted."
            )
        executor = (ScriptExecutor if self.keys["print"] else SlurmExecutor)(folder / FILES, python=inside)
        named = ("partition", "account", "qos", "constraint")
        executor.update_parameters(
            **{key: keys[key] for key in named if keys[key] is not None},
            job_name=folder.name,
            time=MINUTES,
            nodes=config.trainer.num_nodes,
            ntasks_per_node=tasks,
            cpus_per_task=keys["cpus_per_task"],
            **({"gpus_per_node": gpus} if gpus else {}),
            signal_delay_s=keys["signal_seconds"],
            array_parallelism=self.config.jobs or MOST,
            stderr_to_stdout=True,
            setup=[f"export PYTHONPATH={shlex.quote(str(PROJECT))}:$PYTHONPATH", *keys["setup"]],
            # srun takes the CPUs of a task from sbatch no longer, since SLURM 22.05.
            srun_args=[f"--cpus-per-task={keys['cpus_per_task']}", *keys["srun"]],
            additional_parameters={
                "time": keys["time"],
                "requeue": True,
                **({"mem": keys["mem"]} if keys["mem"] else {}),
                **keys["sbatch"],
            },
        )
        return executor


def print_script(executor: "SlurmExecutor", commands: Sequence[Sequence[str]]) -> None:
    """Print the script that `submitted` would hand to sbatch, and what each job gives to Python."""
    if len(commands) > 1:
        executor.parameters["map_count"] = len(commands)
    print(executor._make_submission_file_text(executor._submitit_command_str, "ID"))  # noqa: SLF001  not public
    for command in commands:
        print(f"# python {shlex.join(command)}")


def submitted(executor: "SlurmExecutor", tasks: Sequence["Task"]) -> list[str]:
    """Submit a job for each task, several as an array, and return their numbers. Raises HydraException where sbatch refuses them."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    new = not executor.folder.exists()
    executor.folder.mkdir(parents=True, exist_ok=True)
    try:
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
        return [str(job.job_id) for job in jobs]
    except (FailedJobError, FailedSubmissionError) as error:
        if new:
            shutil.rmtree(executor.folder)
        raise HydraException(f"sbatch refused the job: {str(error).strip()}") from None
