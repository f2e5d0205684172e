"""Text files that list the samples of each split, such as ``ImageSets/Segmentation/train.txt``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from datamodules.errors import DatasetError, shortened
from datamodules.splits.sample_table import SPLIT_WORDS


def read_split_lists(root: Path, pattern: str, files: Iterable[str]) -> dict[str, str]:
    """Return the split of each file that a list names.

    A line names a file by its path without the ending, by the end of that path, or both with the ending; what follows a
    space is another column, unless the whole line is a name.

    Args:
        root: the folder that `pattern` and `files` are relative to.
        pattern: the path of the lists, with ``{split}`` in it.
        files: POSIX paths.

    Raises:
        DatasetError: there are no lists of train and val, or a list names what is not there, or what another one names.
    """
    lists = {word: root / pattern.replace("{split}", word) for word in SPLIT_WORDS}
    lists = {word: path for word, path in lists.items() if path.is_file()}
    missing = {"train", "val"} - {SPLIT_WORDS[word] for word in lists}
    if missing:
        names = ", ".join(pattern.replace("{split}", name) for name in sorted(missing))
        raise DatasetError(f"data.split={pattern}: there is no {names} under data.root={root}.")
    by_end = _by_end(files)
    found: dict[str, str] = {}
    problems = []
    for word, path in lists.items():
        for line in _lines(path):
            named = by_end.get(_relative(line)) or by_end.get(_relative(line.split()[0]), set())
            if len(named) != 1:
                problems.append(f"{path.name}: {line} ({'several files' if named else 'no such image'})")
                continue
            (file,) = named
            if found.setdefault(file, SPLIT_WORDS[word]) != SPLIT_WORDS[word]:
                problems.append(f"{path.name}: {line} (is in {found[file]} too)")
    if problems:
        raise DatasetError(
            f"data.split={pattern}: {len(problems)} lines cannot be used: {shortened(problems)}. A line is the name of an image "
            "or its path, each in one list only."
        )
    return found


def find_split_lists(root: Path) -> list[str]:
    """Return the patterns of lists of train and val in a root or up to two folders deep, such as ``sets/{split}.txt``."""
    found = [path for depth in ("", "*/", "*/*/") for path in sorted(root.glob(f"{depth}train.txt"))]
    both = [path.relative_to(root) for path in found if path.with_name("val.txt").is_file()]
    return [path.with_name("{split}.txt").as_posix() for path in both]


def _by_end(files: Iterable[str]) -> Mapping[str, set[str]]:
    """Return the files by each end of their paths, with and without the ending."""
    by_end: dict[str, set[str]] = defaultdict(set)
    for file in files:
        path = PurePosixPath(file)
        for parts in (path.parts, path.with_suffix("").parts):
            for start in range(len(parts)):
                by_end["/".join(parts[start:])].add(file)
    return by_end


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a list of names: {error}.") from error
    return [line.strip() for line in lines if line.strip()]


def _relative(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").lstrip("/")
