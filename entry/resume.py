"""Resuming a run: the same folder, and the same figures as without the interruption."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from callbacks.checkpoint_writer import earlier
from callbacks.links import link
from callbacks.signals import StopSignal
from datamodules.segmentation import SegmentationDataModule
from entry.builders import loggers
from entry.builders.crosswalk import difference, keep_space
from entry.builders.length import check_prolonged
from entry.checkpoint import Checkpoint, check_classes, find_checkpoint
from entry.config.changes import LAST_DIGITS, LENGTH, OF_EVALUATION, Resumption
from entry.errors import RequestError
from entry.evaluation.assemble import differences
from entry.evaluation.summary import print_summary, reported_split
from entry.hardware import Hardware
from entry.request import Request
from entry.run import Run, assemble, batch_job, digest, first_weights, session, write_start
from lightning_modules.weights.safe_load import damage
from run_files import Environment, read_json
from run_folder import RunFolder, Status, now, write_json, write_text
from settings.run import AUTO, RunSettings
from settings.training import TrainerSettings

OF_CLASSES = {"data.label_space", "data.classes", "data.void_ids"}


def print_finished(request: Request, resumption: Resumption) -> None:
    """Print that a finished run stays as it is, how to evaluate it with what was typed, and its scores."""
    folder = resumption.folder
    own = "max_epochs" if resumption.before.trainer.max_steps is None else "max_steps"
    print(f"This run is finished; nothing was changed. To prolong it type trainer.{own}=NUMBER.")
    if overrides := _of_evaluation(request, resumption.changes):
        command = shlex.join(["python", "evaluate.py", f"run={folder.path}", *overrides])
        print(f"Its evaluation stays as it is; for another: {command}")
    split = reported_split(folder)
    if (folder.evaluation(split) / "scores.json").exists():
        print_summary(folder, split)
        return
    print(f"It has no evaluation; for one: {shlex.join(['python', 'evaluate.py', f'run={folder.path}'])}")
    print(folder.path, flush=True)


def _of_evaluation(request: Request, changes: Sequence[str]) -> list[str]:
    changed = [key for key in changes if key.startswith(OF_EVALUATION)]
    typed = zip(request.typed_keys, request.overrides, strict=True)
    return [override for key, override in typed if any(f"{each}.".startswith(f"{key}.") for each in changed)]


@contextlib.contextmanager
def reopened(request: Request, resumption: Resumption) -> Iterator[tuple[Run, StopSignal]]:
    """A run, ready to continue and this process's alone while the context lasts; and what receives its signals.

    Raises RequestError where it cannot be continued so, RunFolderError where it is still running.
    """
    folder, before, settings, changes = resumption.folder, resumption.before, resumption.settings, resumption.changes
    loggers.kinds_of(settings)  # refused now, where the environment is wrong
    with folder.in_use(alone=True):
        found, notes = _newest(folder)
        checkpoint, step, reached = (found.path, found.step, found.epoch) if found else (None, 0, 0)
        _check_length(settings.trainer, folder, step, reached)
        begun = folder.environment.exists() and folder.split.exists()
        weights = "none" if checkpoint else first_weights(folder) if begun else settings.model.weights
        run = assemble(folder, settings, weights, checkpoint, request.allow)
        _check_classes(request, run, found)
        del found  # its tensors are in the file, whose disk space is only free once nobody holds them
        longer = next((key for key in LENGTH if key in changes), None)
        if step and step == before.trainer.max_steps != settings.trainer.max_steps:
            check_prolonged(step, settings, run.datamodule)
        if checkpoint and longer:
            _check_schedule(longer, run.module.make_scheduler)
        folder.clear_leftovers()
        if not begun:
            write_start(folder, settings, run.machine, run.datamodule, run.weights, run.facts)
        notes += [*_machine_notes(folder, run.machine), *differences(folder, run.datamodule)]
        if (
            begun
            and not checkpoint
            and read_json(folder.environment, Environment)["weights"].get("sha256") != digest(weights)
        ):
            notes.append(f"{weights} is not the file that the run began with: its SHA-256 is another one.")
        if isinstance(run.datamodule, SegmentationDataModule) and OF_CLASSES & {*changes}:
            keep_space(folder, run.datamodule)
        if digits := [key for key in changes if key in LAST_DIGITS[2:]]:
            notes.append(f"{', '.join(digits)} changed: the last digits may differ from an uninterrupted run.")
        if longer:
            lengths = [getattr(each.trainer, longer.removeprefix("trainer.")) for each in (settings, before)]
            notes.append(
                f"{longer} is now {lengths[0]}, not {lengths[1]}; the learning rate follows its schedule over all of them."
            )
        if overrides := _of_evaluation(request, changes):
            notes.append(f"The final evaluation uses {' '.join(overrides)}; training continues as before.")
        _write_down(folder, run.settings, changes, request, step)
        print("\n".join([f"resuming {folder.path}", *(f"note: {note}" for note in notes)]))
        with session(Status(folder.status, **batch_job())) as signal:
            yield run, signal


def _check_classes(request: Request, run: Run, checkpoint: Checkpoint | None) -> None:
    """Raise RequestError where the data's classes are not the checkpoint's, or their label space changed since and that is not wanted."""
    if checkpoint:
        check_classes(checkpoint, run.module.label_space.classes)
    other = difference(run.folder, run.datamodule) if isinstance(run.datamodule, SegmentationDataModule) else None
    if other and other[1] and not request.keys.resume_with_changes:
        raise RequestError(
            f"resume={run.folder.path}: {other[0]} Restore it, or type resume_with_changes=true to go on with the run's own."
        )


def _check_length(now: TrainerSettings, folder: RunFolder, step: int, reached: int) -> None:
    """Raise RequestError for fewer epochs or steps than a run has."""
    if now.max_steps is None:
        if reached > now.max_epochs:
            raise RequestError(
                f"trainer.max_epochs={now.max_epochs}: {folder.path} has completed {reached} epochs already."
            )
        return
    if step > now.max_steps:
        raise RequestError(f"trainer.max_steps={now.max_steps}: {folder.path} has taken {step} steps already.")


def _check_schedule(key: str, make: Callable[..., object]) -> None:
    """Raise RequestError for a schedule of torch's that keeps its number of steps in the checkpoint."""
    if isinstance(make, partial) and isinstance(make.func, type) and "total_steps" in make.keywords:
        raise RequestError(
            f"{key}: {make.func.__name__} fixed its steps when the run began, and has no rate for more or fewer. "
            "Leave it as it was, or begin a run with scheduler=cosine, which can be prolonged."
        )


def _newest(folder: RunFolder) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, put in last.ckpt's place; notes for the user."""
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
            position = f"Resuming after step {found.step}{before}, in epoch {found.epoch + 1}."
            return found, [*notes, position]
    return None, [*notes, "There is no checkpoint yet: training starts at the first step."]


def _machine_notes(folder: RunFolder, machine: Hardware) -> list[str]:
    """What differs between this machine and the one that the run was begun on."""
    begun = read_json(folder.environment, Environment)
    here = {key: getattr(machine, key) for key in ("accelerator", "precision", "threads", "devices", "nodes")}
    other = [f"{key} {value}, not {begun[key]}" for key, value in here.items() if begun.get(key, value) != value]
    note = f"hardware differs ({'; '.join(other)}): the last digits may differ from an uninterrupted run."
    return [note] if other else []


def _write_down(folder: RunFolder, settings: RunSettings, changes: Sequence[str], request: Request, step: int) -> None:
    if changes:
        write_text(folder.config, settings.to_yaml())
    facts = read_json(folder.environment, Environment)
    had = loggers.of_run(facts)
    if tuple(each["kind"] for each in had) != loggers.kinds_of(settings):
        facts |= loggers.description(settings, had)
    # A script that is started again types what is in overrides.txt already.
    new = [] if request.keys.resume == AUTO else request.overrides
    typed = [override for override in new if not override.startswith("resume")]
    facts.setdefault("resumed", []).append({"time": now(), "step": step, "overrides": typed})
    write_json(folder.environment, facts)
    written = folder.overrides.read_text(encoding="utf-8") if folder.overrides.exists() else ""
    write_text(folder.overrides, written + "".join(f"{override}\n" for override in typed))
