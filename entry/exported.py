"""The folder of an export, which run= accepts in place of a run's: its manifest and its file of weights."""

import hashlib
from pathlib import Path

from entry.errors import RequestError
from run_files import read_json
from run_folder import RunFolder
from settings.errors import SettingsError
from settings.export import WEIGHTS, Manifest
from settings.run import validated


def read_manifest(folder: RunFolder) -> Manifest:
    """The manifest of an export. Raises RequestError naming the file where it is damaged."""
    path = folder.manifest
    try:
        return validated(Manifest, read_json(path))
    except (SettingsError, RecursionError) as error:
        raise RequestError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def weights_file(folder: RunFolder, wanted: str) -> Path:
    """The file that ``checkpoint=`` means: a checkpoint of a run, or the one file of an export. Raises an error for the user."""
    if not folder.is_export:
        return folder.checkpoint(wanted)
    path = folder.path / WEIGHTS[read_manifest(folder).format]
    if wanted not in ("best", str(path)):
        raise RequestError(
            f"checkpoint={wanted}: {folder.path} is an export, which has one set of weights. Leave it out."
        )
    if not path.is_file():
        raise RequestError(f"run={folder.path}: the export's file {path.name} is missing. Export the run again.")
    return path


def check_whole(path: Path, manifest: Manifest) -> None:
    """Raise RequestError where a file is not the one that was exported."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        raise RequestError(
            f"{path} is not the file that was exported: its SHA-256 begins with {found[:8]}, that in manifest.json with "
            f"{manifest.sha256[:8]}. Copy it or export the run again."
        )
