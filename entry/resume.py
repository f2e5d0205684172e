"""Going on with a run: the same folder, the same numbers as if it had never stopped."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from callbacks.checkpoints import earlier, link
from entry import console, hardware
from entry.build import loggers
from entry.config.resolve import flat, to_yaml, with_overrides
from entry.errors import RequestError
from entry.evaluation.checkpoint import find_checkpoint
from entry.request import Request
from entry.run import Run, assemble, first_weights, write_start
from lightning_modules import schedules
from lightning_modules.weights.safe_load import damage
from run_folder import RunFolder, now, read_json, write_json, write_text

# Keys that may change without the run becoming another one; a trailing dot stands for everything below.
OF_EVALUATION = ("report.predictions", "report.region_sizes", "evaluation.")
OF_SPLIT = ("data.fraction", "data.split", "data.select_from")
HARMLESS = ("data.root", "data.num_workers", "data.cache", "data.cache_dir", "data.on_corrupt", "trainer.max_epochs",
            "trainer.progress", "checkpointing.", "logger.", *OF_EVALUATION)  # fmt: skip


def folder_of(request: Request) -> RunFolder:
    """The run that `resume=` names. Raises RunFolderError where there is none."""
    return RunFolder.open(Path(str(request.config.resume)).expanduser())


def is_finished(request: Request) -> bool:
    """Whether the run to go on with is through already, and was not given more epochs."""
    if request.config.resume is None:
        return False
    folder = folder_of(request)
    told, config = with_overrides(folder, request)
    more = config["trainer"]["max_epochs"] > told["trainer"]["max_epochs"]
    return not more and folder.status.exists() and read_json(folder.status)["state"] == "finished"


def evaluated_otherwise(request: Request) -> list[str]:
    """What was typed that changes how the run is evaluated, and not how it is trained."""
    return _of_evaluation(request, _changes(*with_overrides(folder_of(request), request)))


def _of_evaluation(request: Request, changes: Sequence[str]) -> list[str]:
    looks = [key for key in changes if key.startswith(OF_EVALUATION)]
    typed = ((line.split("=")[0], line) for line in request.overrides)
    return [line for key, line in typed if any(f"{look}.".startswith(f"{key}.") for look in looks)]


@contextlib.contextmanager
def reopened(request: Request) -> Iterator[Run]:
    """The run that `resume=` names, ready to go on, and this process's alone while the context lasts.

    Raises RequestError where a changed key would make the rest another run, RunFolderError where it is still running.
    """
    folder = folder_of(request)
    told, config = with_overrides(folder, request)
    changes = _changes(told, config)
    _check_kept(told, config, changes)
    harmful = [key for key in changes if not key.startswith(HARMLESS)]
    if harmful and not request.config.resume_with_changes:
        raise RequestError(
            f"resume={folder.path}: {', '.join(harmful)} would make the rest of it another run. "
            "Leave it as it was, or type resume_with_changes=true."
        )
    with folder.in_use(alone=True):
        checkpoint, step, reached, notes = _newest(folder)
        if reached > config["trainer"]["max_epochs"]:
            raise RequestError(
                f"trainer.max_epochs={config['trainer']['max_epochs']}: {folder.path} has {reached} epochs behind it already."
            )
        begun = folder.environment.exists() and folder.split.exists()
        weights = "none" if checkpoint else first_weights(folder) if begun else config["model"]["weights"]
        run = assemble(folder, config, weights, resume_from=checkpoint)
        if checkpoint and "trainer.max_epochs" in changes:
            _check_schedule(run.module.make_scheduler)
        folder.clear_leftovers()
        if not begun:
            write_start(folder, config, run.machine, run.datamodule, run.weights)
        notes += _machine_notes(folder, run.machine)
        if "trainer.max_epochs" in changes:
            notes.append(
                f"trainer.max_epochs is {config['trainer']['max_epochs']} now, not {told['trainer']['max_epochs']}; "
                "the learning rate follows its schedule over all of them."
            )
        if looks := _of_evaluation(request, changes):
            notes.append(f"The evaluation that ends it is done with {' '.join(looks)}; it is trained as before.")
        _write_down(folder, config, changes, request, step)
        console.going_on(folder, notes)
        yield run


def _check_kept(told: Mapping[str, Any], config: Mapping[str, Any], changes: Sequence[str]) -> None:
    """What the folder keeps must be of use to what goes on with it. Raises RequestError."""
    split = next((key for key in changes if key.startswith(OF_SPLIT)), None)
    if split is not None:
        raise RequestError(
            f"{split}: the run has its split, in its split.csv, which is never made anew. Leave it as it was, or train another run."
        )
    if "optimizer._target_" in changes:
        raise RequestError(
            "optimizer: a checkpoint holds what its own optimiser remembers, which another cannot go on with. Leave it as it "
            "was, or train another run, from these weights with model.weights=…/checkpoints/last.ckpt."
        )
    settings = next((key for key in changes if key.startswith(("optimizer.", "scheduler."))), None)
    targets = [each["scheduler"]["_target_"] for each in (told, config)]
    if settings and not all(target.startswith(f"{schedules.__name__}.") for target in targets):
        raise RequestError(
            f"{settings}: a schedule of torch's keeps its rates in the checkpoint. Leave it as it was, or train another run."
        )


def _check_schedule(make: Callable[..., object]) -> None:
    """A schedule of torch's that was told the number of steps keeps that number in the checkpoint. Raises RequestError."""
    if isinstance(make, partial) and isinstance(make.func, type) and "total_steps" in make.keywords:
        raise RequestError(
            f"trainer.max_epochs: {make.func.__name__} has fixed its steps when the run began, and has no rate for more or "
            "fewer. Leave it as it was, or begin a run with scheduler=cosine, which can be prolonged."
        )


def _changes(told: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    before, after = flat(told), flat(config)
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _newest(folder: RunFolder) -> tuple[Path | None, int, int, list[str]]:
    """The newest checkpoint that is whole, put in last.ckpt's place; its step and epoch, 0 without one; what to say of it."""
    last, notes = folder.checkpoints / "last.ckpt", []
    for path in (last, *earlier(folder.checkpoints), folder.checkpoints / "best.ckpt"):
        reason = damage(path) if path.exists() else None
        if reason is not None:
            notes.append(f"{path.name} is damaged ({reason}) and not used.")
        elif path.exists():
            if path != last:
                link(path, last)
            found = find_checkpoint(folder, "last", verified=True)
            before = f" of {path.name}, the one before it" if path != last else ""
            going_on = f"Going on after step {found.step}{before}, in epoch {found.epoch + 1}."
            return found.path, found.step, found.epoch, [*notes, going_on]
    return None, 0, 0, [*notes, "There is no checkpoint yet: it starts at the first step."]


def _machine_notes(folder: RunFolder, machine: hardware.Hardware) -> list[str]:
    """What this machine does otherwise than the one that the run was begun on."""
    begun = read_json(folder.environment)
    here = {key: getattr(machine, key) for key in ("accelerator", "precision", "threads", "devices", "nodes")}
    other = [f"{key} {value}, not {begun[key]}" for key, value in here.items() if begun.get(key, value) != value]
    if not other:
        return []
    return [
        f"This machine computes otherwise ({'; '.join(other)}): the last digits may differ from a run without a stop."
    ]


def _write_down(folder: RunFolder, config: Mapping[str, Any], changes: list[str], request: Request, step: int) -> None:
    if changes:
        write_text(folder.config, to_yaml(config))
    facts = read_json(folder.environment)
    if facts["logger"]["kind"] != config["logger"]["name"]:
        facts["logger"] = loggers.description(config)
    typed = [line for line in request.overrides if not line.startswith("resume")]
    facts.setdefault("resumed", []).append({"time": now(), "step": step, "overrides": typed})
    write_json(folder.environment, facts)
    written = folder.overrides.read_text(encoding="utf-8") if folder.overrides.exists() else ""
    write_text(folder.overrides, written + "".join(f"{line}\n" for line in typed))
