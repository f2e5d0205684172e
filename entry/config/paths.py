"""Where a path leads that cannot be used: what is really there, and what to type instead."""

import difflib
import re
import shlex
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from entry.request import PROJECT
from run_folder import is_run
from settings.errors import keys_of, legal
from settings.run import RunSettings

MOST_NAMED = 5
DEPTHS = ("*/config.yaml", "*/*/config.yaml", "*/*/*/config.yaml")  # of runs below runs/, a date, a sweep


def as_override(key: str, value: object) -> str:
    """A key and its value as they are typed in a shell, with Hydra's own quotes where its grammar needs them."""
    text = str(value)
    return f"{key}={text}" if re.fullmatch(r"[\w./:+@%-]*", text, re.ASCII) else shlex.quote(f'{key}="{text}"')


def missing(key: str, path: Path) -> str:
    """The sentence for a path of a key that does not exist, with names that resemble it and what the key may be."""
    near = list(_similar(path))[:MOST_NAMED]
    parent = next((each for each in path.parents if each.is_dir()), path)
    entries = () if near else parent.iterdir()
    names = sorted(each.name for each in entries if not each.name.startswith("."))[:MOST_NAMED]
    hint = f" Did you mean {' or '.join(as_override(key, each) for each in near)}?" if near else ""
    there = f" {parent} has {', '.join(names)}." if names else ""
    field = dict(keys_of(RunSettings)).get(key)
    what = "" if field is None else f" {key} is {legal(field.annotation, field.metadata)}."
    return f"{key}={path}: there is no such file or folder.{hint or there}{what}"


def no_run(key: str, path: Path) -> str:
    """Why an absolute path, typed under a key such as run or resume, is no run folder, and the line to type."""
    around = next((each for each in (path, *path.parents) if is_run(each)), None)
    if around is not None and around != path:
        extra = _part_of_run(around, path) if key == "run" and path.exists() else ""
        kind = "lies in a run folder" if path.exists() else "does not exist, but its run folder does"
        return f"{key}={path} {kind}. Type {as_override(key, around)}{extra}"
    if path.is_dir():
        return _folder(key, path)
    if path.exists():
        return _file(key, path)
    archive = next((each for each in path.parent.glob(f"{path.name}.*") if _archived_run(each)), None)
    if archive is not None:
        return f"{key}={path}: there is no such folder, but {archive.name} beside it. Unpack that first."
    found = [*_elsewhere(path), *(each for each in _similar(path) if is_run(each))]
    if found:
        return f"{key}={path}: there is no such folder. Did you mean {' or '.join(as_override(key, each) for each in found[:MOST_NAMED])}?"
    newest = _runs(Path("runs").absolute())[:1]
    hint = f" The newest run here: {as_override(key, newest[0])}" if newest else " Give the folder that train.py named."
    return f"{key}={path}: there is no such folder.{hint}"


def _part_of_run(run: Path, path: Path) -> str:
    """The key that selects a part of a run, such as a checkpoint in it."""
    kind, *rest = path.relative_to(run).parts
    if kind == "checkpoints" and rest:
        return " " + as_override("checkpoint", path.stem if rest[0] in ("best.ckpt", "last.ckpt") else path)
    return f" split={rest[0]}" if kind == "evaluation" and rest and rest[0] in ("train", "val", "test") else ""


def _folder(key: str, path: Path) -> str:
    runs = _runs(path)
    if not runs:
        return f"{key}={path}: no config.yaml in it, so it is not a run folder. Give the folder that train.py named."
    numbers = [run.name for run in runs if run.parent == path and run.name.isdigit()]
    if len(numbers) == len(runs):
        listed = ", ".join(sorted(numbers, key=int))
        return f"{key}={path}: is the folder of a sweep, with the runs {listed}. Give one of them: {as_override(key, path / min(numbers, key=int))}"
    return f"{key}={path}: is no run folder; there are {len(runs)} below it. The newest: {as_override(key, runs[0])}"


def _file(key: str, path: Path) -> str:
    if _archived_run(path):
        return f"{key}={path}: is an archive of a run. Unpack it, and give the folder."
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin", ".safetensors"):
        return (
            f"{key}={path}: is a checkpoint outside of a run folder, without the run's settings and split. Give a run folder, or "
            f"use its weights: {as_override('model.weights', path)}"
        )
    return f"{key}={path}: is a file, not a folder. Give the folder that train.py named."


def _archived_run(path: Path) -> bool:
    names: list[str] = []
    if path.is_file() and zipfile.is_zipfile(path):
        names = zipfile.ZipFile(path).namelist()
    elif path.is_file() and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            names = archive.getnames()
    return any(name.rpartition("/")[2] == "config.yaml" for name in names)


def _runs(folder: Path) -> list[Path]:
    """The run folders below a folder, the newest first."""
    found = [path.parent for depth in DEPTHS for path in folder.glob(depth) if is_run(path.parent)]
    return sorted(found, key=lambda run: (run / "config.yaml").stat().st_mtime, reverse=True)


def _elsewhere(path: Path) -> Iterator[Path]:
    """The same relative path from the project or from a folder above this one, where there is a run."""
    here = Path.cwd()
    if path.is_relative_to(here):
        bases = dict.fromkeys((PROJECT, *here.parents))
        yield from (base / path.relative_to(here) for base in bases if is_run(base / path.relative_to(here)))


def _similar(path: Path) -> Iterator[Path]:
    """Paths that exist and differ from a missing one in the name of its first missing part."""
    family = [path, *path.parents]
    first = next((i for i, each in enumerate(family[1:]) if each.is_dir()), None)
    if first is None:
        return
    absent, parent = family[first], family[first + 1]
    known = {each.name.lower(): each for each in parent.iterdir()}
    for name in difflib.get_close_matches(absent.name.lower(), list(known), n=MOST_NAMED, cutoff=0.6):
        other = known[name] / path.relative_to(absent)
        if other.exists():
            yield other
