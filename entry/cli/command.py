"""What every command does around its one function: compose, refuse, report, and exit with the right code."""

import atexit
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from callbacks.errors import SIGNALS, handled
from entry.cli import overrides
from entry.cli.hydra_guard import guarded
from entry.errors import DONE, FAILED, FAILURES, REFUSED, REQUEST_ERRORS, STOPPED, RunStopped, exit_code, print_failure
from entry.request import PROJECT, Request, choose_temporary_folder, environment_error, launched, rank
from hydra_plugins.idd_lightning._jobs import SweepEnded
from run_folder import folder_name
from streams import guarded_streams, print_to_stderr


class RememberFolders(Callback):
    """Notes which folders Hydra is about to make, so that a refused request leaves none behind."""

    made: tuple[Path, ...] = ()
    sweep: Path | None = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before it makes the folder of a single run."""
        self._remember(Path(config.hydra.run.dir), None)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra before it makes the folder of a sweep."""
        self._remember(Path(config.hydra.sweep.dir), Path(config.hydra.sweep.dir).absolute())

    @classmethod
    def _remember(cls, folder: Path, sweep: Path | None) -> None:
        family = (folder.absolute(), *folder.absolute().parents)
        cls.made, cls.sweep = tuple(path for path in family if not path.exists()), sweep

    @classmethod
    def remove_empty(cls, folder: Path) -> None:
        """Remove a job's folder and those around it where they are still empty, the innermost first."""
        for path in dict.fromkeys((folder, *cls.made)) if cls.made or cls.sweep else ():
            with contextlib.suppress(OSError):  # not empty, or never made
                path.rmdir()

    @classmethod
    def tidy(cls) -> None:
        """Remove multirun.yaml, which repeats what each job's config.yaml and overrides.txt hold."""
        if cls.sweep is not None:
            with contextlib.suppress(OSError):  # the folder could not be made
                (cls.sweep / "multirun.yaml").unlink(missing_ok=True)
            if cls.made:
                cls.remove_empty(cls.sweep)


def command(name: str) -> Callable[[Callable[[Request], None]], Callable[[], None]]:
    """Turn a function of a request into a command whose configuration is `conf/<name>.yaml`.

    The command exits with 0 when it is done, 1 when it failed, 2 when the request made no sense (Hydra's own
    errors too), 128 + signal when it was stopped.
    """

    def decorate(task: Callable[[Request], None]) -> Callable[[], None]:
        def main() -> None:
            with guarded_streams() as out:
                code = _stoppable(name, task)
            # Stopped: no further signal may change the code while Python shuts down, which resets every handler but SIG_IGN.
            for number in SIGNALS if code > STOPPED else ():
                atexit.register(signal.signal, number, signal.SIG_IGN)
            if out.lost and Path(out.last_line).is_dir():
                print_to_stderr(f"Standard output was closed before the end. The folder: {out.last_line}")
            sys.exit(code)

        main.__doc__ = task.__doc__
        return main

    return decorate


def _stoppable(name: str, task: Callable[[Request], None]) -> int:
    """Carry a command out; a signal ends it at any moment with the exit code 128 + signal."""
    process = os.getpid()

    def stop(number: int) -> None:
        if os.getpid() == process:  # not in a process that is forked from it
            raise RunStopped(number)

    try:
        with handled(stop):
            return _run(name, task)
    except RunStopped as stopped:
        print_to_stderr(str(stopped))
        return exit_code(stopped)


def _run(name: str, task: Callable[[Request], None]) -> int:
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        from entry.launchers import adopt_srun

        adopt_srun()
    error = environment_error()
    if error is None and launched():
        from entry.launchers import variables_error

        error = variables_error()
    if error is not None:
        print_to_stderr(error)
        return REFUSED
    if not launched():
        return _compose(name, task)
    from entry.distributed.torchrun import follow, lead

    return follow() if rank() > 0 else lead(lambda: _compose(name, task))


def _compose(name: str, task: Callable[[Request], None]) -> int:
    OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    stderr, hydras = sys.stderr, io.StringIO()
    codes: list[int] = []  # of the jobs that were entered; one, unless it is a sweep

    def enter(config: DictConfig) -> None:
        with contextlib.redirect_stderr(stderr):
            request = _request(config)
            codes.append(execute(_locally_or_submitted(name, task), request))
            RememberFolders.remove_empty(request.folder)
            if codes[-1] != DONE:
                _end_or_continue(codes[-1])

    complaint = None
    try:
        with contextlib.redirect_stderr(hydras), guarded():
            _call_hydra(name, enter)
    except _Ended as end:
        return end.with_code
    except SweepEnded as end:
        codes.append(int(str(end.code)))
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # that Hydra's own main lets pass
        complaint = str(error)
    except SystemExit as end:
        complaint = hydras.getvalue() if end.code not in (None, DONE) else None
    finally:
        RememberFolders.tidy()
    if complaint is not None:
        from entry.cli.hydra_errors import reworded

        stderr.write(reworded(complaint, name))
        codes.append(REFUSED)
    return next((code for code in (FAILED, REFUSED, *codes) if code in codes), DONE)


def is_plain(argument: str) -> bool:
    """Whether an argument is an option of a group in conf/, or a value or list without marks of Hydra's for a key within a group.

    Nothing about these needs Hydra's grammar or can be wrong before it composes; `overrides.problems` checks all others.
    """
    key, _, value = argument.partition("=")
    within = re.fullmatch(r"(?!hydra\.)[a-z]\w*(\.[a-z]\w*)+|hydra\.(run|sweep)\.dir", key, re.ASCII)
    plain = r"[\w./:+@%-]+"
    if within:
        return re.fullmatch(rf"{plain}|\[{plain}(,{plain})*\]", value, re.ASCII) is not None
    return key.isidentifier() and (PROJECT / "conf" / key / f"{value}.yaml").is_file()


def _call_hydra(name: str, enter: Callable[[DictConfig], None]) -> None:
    """Let Hydra compose and enter each job; print help instead, or end with 2 where what was typed makes no sense."""
    sys.argv[1:] = [re.sub(r"^(\+*|~)launcher\.", r"\1hydra.launcher.", argument) for argument in sys.argv[1:]]
    if any("sweep.resume=" in argument for argument in sys.argv[1:]):
        from entry.cli.sweeps import resumed

        sys.argv[1:] = resumed(sys.argv[1:])
    if not all(map(is_plain, sys.argv[1:])):
        sys.argv[1:] = map(overrides.with_quotes, sys.argv[1:])
        if problems := overrides.problems(sys.argv[1:], name):
            print("\n".join(problems), file=sys.stderr)
            raise SystemExit(REFUSED)
    if {"--help", "-h"} & {*sys.argv[1:]}:
        from entry.cli.help import print_help

        print_help(name, sys.argv[1:])
    else:
        if "--hydra-help" in sys.argv:  # composes without conf/, so with Hydra's own logging, which writes a file
            sys.argv += ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        hydra.main(version_base="1.3", config_path=str(PROJECT / "conf"), config_name=name)(enter)()


def _locally_or_submitted(name: str, task: Callable[[Request], None]) -> Callable[[Request], None]:
    """A command's function; where SLURM is to carry it out, one that submits it."""
    hydras = HydraConfig.get()
    if hydras.mode == RunMode.MULTIRUN or not hydras.launcher._target_.endswith(".SlurmLauncher"):
        return task
    from entry.cli.submission import submit

    return partial(submit, name)


class _Ended(SystemExit):
    """A job ends the command; Hydra's own SystemExit comes with a message instead."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.with_code = code


def _end_or_continue(code: int) -> None:
    """End with a job's code; in a sweep, where it failed or was refused, print that and let the next job begin."""
    hydras = HydraConfig.get()
    if hydras.mode != RunMode.MULTIRUN or code not in (FAILED, REFUSED):
        raise _Ended(code)
    how = "failed" if code == FAILED else "was refused"
    print(f"Job {hydras.job.num} ({' '.join(_typed(hydras, 'task'))}) {how}.", file=sys.stderr)


def _request(config: DictConfig) -> Request:
    """Return to where the command was typed, as paths are relative to that, and return what it requests."""
    hydras = HydraConfig.get()
    if hydras.job.chdir:
        os.chdir(hydras.runtime.cwd)
        print(
            "note: hydra.job.chdir=true changes nothing: paths are relative to where you are, and a run writes into its folder only."
        )
    typed = any(override.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for override in _typed(hydras, "hydra"))
    return Request(config, _typed(hydras, "task"), Path(hydras.runtime.output_dir), folder_was_typed=typed)


def _typed(hydras: Any, kind: str) -> tuple[str, ...]:
    """The overrides as they were typed; an interpolation in them is resolved where its key is read."""
    return tuple(map(str, cast(list[Any], OmegaConf.to_container(hydras.overrides[kind], resolve=False))))


def execute(task: Callable[[Request], None], request: Request) -> int:
    """Run a command's function; print what ends it, and return the exit code."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks for updates over the network otherwise
    os.environ["MPLBACKEND"] = "agg"  # whatever a notebook has set: figures are written to files only
    try:
        if (note := choose_temporary_folder()) is not None:
            print_to_stderr(f"note: {note}")
        task(request)
    except (*REQUEST_ERRORS, *FAILURES, RunStopped) as error:
        print_to_stderr(str(error))
        return exit_code(error)
    except KeyboardInterrupt as error:
        print_to_stderr("Interrupted.")
        return exit_code(error)
    except Exception as error:  # noqa: BLE001  a bug keeps its traceback
        print_failure(error)
        return FAILED
    return DONE
