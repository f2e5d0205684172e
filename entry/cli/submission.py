"""A single run that is handed to SLURM: train.py hydra/launcher=slurm, without -m."""

import os
import re
import tempfile
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import instantiate

from entry.errors import RequestError
from entry.request import Request
from hydra_plugins.idd_lightning._jobs import config_folders, quoted
from hydra_plugins.idd_lightning.slurm import FILES
from run_folder import RunFolder, RunFolderError, free_name, is_run
from settings.run import AUTO

OF_SUBMISSION = ("hydra/launcher=", "hydra.launcher.", "hydra.run.dir=", "hydra.mode=")


def submit(name: str, request: Request) -> None:
    """Check a command's request as far as that is possible here, submit it, and print the job's number and the run's folder."""
    if name != "train":
        raise RequestError(f"hydra/launcher=slurm submits trainings, and {name}.py is none. Leave it out, or use srun.")
    folder = _checked(request)
    hydras = HydraConfig.get()
    of_hydra = [str(each) for each in hydras.overrides.hydra if not str(each).lstrip("+~").startswith(OF_SUBMISSION)]
    typed = [*request.overrides, *([] if request.keys.resume else [f"resume={AUTO}"])]
    arguments = [*config_folders(hydras), *of_hydra, *typed]
    if request.keys.resume in (None, AUTO):
        arguments.append(f"hydra.run.dir={quoted(folder)}")
    try:
        number = instantiate(hydras.launcher).submit_run(folder, request.config, arguments)
    except HydraException as error:
        raise RequestError(str(error)) from None
    if number is not None:
        print(f"job: {number}, submitted to SLURM; what it prints: {folder / FILES / f'{number}_0_log.out'}")
        print(folder, flush=True)


def _checked(request: Request) -> Path:
    """The folder of the run. Raises RequestError where it cannot be begun or resumed as it was typed."""
    unset = {*re.findall(r"\$\{oc\.env:(\w+)\}", " ".join(request.overrides))} - {*os.environ}
    os.environ.update(dict.fromkeys(unset, tempfile.gettempdir()))  # such as SLURM_TMPDIR, which the job will have
    try:
        if request.keys.resume:
            from entry.config.changes import to_resume

            if (found := to_resume(request)) is not None:
                return found.folder.path
        else:
            from entry.config.resolve import resolved

            resolved(request)
    finally:
        for variable in unset:
            del os.environ[variable]
    folder = request.folder if request.folder_was_typed else free_name(request.folder)
    if is_run(folder):
        raise RunFolderError(
            f"hydra.run.dir={folder} already holds a run. Choose another folder, or go on with it: resume={folder}"
        )
    return RunFolder(folder).path
