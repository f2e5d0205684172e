"""What every command does around its one function: compose, refuse, report, and exit with the right code."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from callbacks.stderr import print_to_stderr
from entry.cli import overrides
from entry.cli.hydra_guard import guarded, refusal
from entry.errors import DONE, FAILED, FAILURES, REFUSED, REQUEST_ERRORS, RequestError, RunStopped, exit_code
from entry.request import PROJECT, Request, launched, rank


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
            streams = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = map(Stream, streams)
            try:
                code = _run(name, task)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                sys.stdout, sys.stderr = streams
            sys.exit(code)

        main.__doc__ = task.__doc__
        return main

    return decorate


class Stream:
    """A text stream whose reader may go away, as ``head`` does: what is written afterwards is dropped.

    Args:
        stream: standard output or error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        return self._unless_gone(self._stream.write, text) or len(text)

    def flush(self) -> None:
        """Flush, or drop what is left."""
        self._unless_gone(self._stream.flush)

    def _unless_gone(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except BrokenPipeError:
            # At its end Python would flush once more, complain, and exit with a code of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _run(name: str, task: Callable[[Request], None]) -> int:
    if rank() > 0:
        from entry.distributed.torchrun import follow

        return follow()
    code = _compose(name, task)
    if launched():
        from entry.distributed.torchrun import dismiss

        dismiss(code)
    return code


def _compose(name: str, task: Callable[[Request], None]) -> int:
    OmegaConf.register_new_resolver("project", lambda path: str(PROJECT / path), replace=True)
    stderr, hydras = sys.stderr, io.StringIO()
    codes: list[int] = []  # of the jobs that were entered; one, unless it is a sweep

    def enter(config: DictConfig) -> None:
        with contextlib.redirect_stderr(stderr):
            request = _request(config)
            _stay(HydraConfig.get())
            codes.append(execute(task, request))
            RememberFolders.remove_empty(request.folder)
            if codes[-1] != DONE:
                _end_or_continue(codes[-1])

    try:
        with contextlib.redirect_stderr(hydras), guarded():
            _call_hydra(name, enter)
    except _Ended as end:
        return end.with_code
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # that Hydra's own main lets pass
        stderr.write(_reworded(str(error), name))
        return FAILED if FAILED in codes else REFUSED
    except SystemExit as end:
        if end.code not in (None, DONE):
            stderr.write(_reworded(hydras.getvalue(), name))
            return FAILED if FAILED in codes else REFUSED
    finally:
        RememberFolders.tidy()
    return next((code for code in (FAILED, REFUSED) if code in codes), DONE)


def _reworded(complaint: str, name: str) -> str:
    from entry.cli.hydra_errors import reworded  # only where there is one

    return reworded(complaint, name)


def _call_hydra(name: str, enter: Callable[[DictConfig], None]) -> None:
    """Let Hydra compose and enter each job; print help instead, or end with 2 where what was typed makes no sense."""
    refused = refusal(sys.argv[1:])
    problems = overrides.problems(sys.argv[1:], name) if refused is None else [refused]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        raise SystemExit(REFUSED)
    if {"--help", "-h"} & {*sys.argv[1:]}:
        from entry.cli.help import print_help

        print_help(name, sys.argv[1:])
    else:
        if "--hydra-help" in sys.argv:  # composes without conf/, so with Hydra's own logging, which writes a file
            sys.argv += ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        hydra.main(version_base="1.3", config_path=str(PROJECT / "conf"), config_name=name)(enter)()


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


def _stay(hydras: Any) -> None:
    """Return to where the command was typed: the paths in it are relative to that, and a run writes into its folder only."""
    if hydras.job.chdir:
        os.chdir(hydras.runtime.cwd)
        print(
            "note: hydra.job.chdir=true changes nothing: paths are relative to where you are, and a run writes into its folder only."
        )


def _request(config: DictConfig) -> Request:
    hydras = HydraConfig.get()
    typed = any(override.startswith(("hydra.run.dir=", "hydra.sweep.dir=")) for override in _typed(hydras, "hydra"))
    return Request(config, _typed(hydras, "task"), Path(hydras.runtime.output_dir), folder_was_typed=typed)


def _typed(hydras: Any, kind: str) -> tuple[str, ...]:
    """The overrides as they were typed; an interpolation in them is resolved where its key is read."""
    return tuple(map(str, cast(list[Any], OmegaConf.to_container(hydras.overrides[kind], resolve=False))))


def execute(task: Callable[[Request], None], request: Request) -> int:
    """Run a command's function; print what ends it, and return the exit code."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks for updates over the network otherwise
    try:
        task(request)
    except (*REQUEST_ERRORS, *FAILURES, RunStopped) as error:
        print_to_stderr(str(error))
        return exit_code(error)
    except KeyboardInterrupt as error:
        print_to_stderr("Interrupted.")
        return exit_code(error)
    except Exception:  # noqa: BLE001  a bug keeps its traceback
        traceback.print_exc()
        return FAILED
    return DONE


__all__ = ["RememberFolders", "Request", "RequestError", "command"]
