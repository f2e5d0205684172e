"""Text files that list the samples of each split, such as ``ImageSets/Segmentation/train.txt``."""

from collections.abc import Iterable
from pathlib import Path

from datamodules.errors import DatasetError, shortened
from datamodules.splits.listed import match
from datamodules.splits.sample_table import SPLIT_WORDS


def read_split_lists(root: Path, pattern: str, files: Iterable[str]) -> dict[str, str]:
    """Return the split of each of `files` that a list names; these and `pattern`, the lists' path, are relative to `root`.

    A line names a file as in `match`; what follows a space is another column, unless the whole line is a name. Raises
    DatasetError where there are no lists of train and val, or a list names what is not there, or what another one names.
    """
    lists = {word: root / pattern.replace("{split}", word) for word in SPLIT_WORDS}
    lists = {word: path for word, path in lists.items() if path.is_file()}
    missing = {"train", "val"} - {SPLIT_WORDS[word] for word in lists}
    if missing:
        names = ", ".join(pattern.replace("{split}", name) for name in sorted(missing))
        raise DatasetError(f"data.split={pattern}: there is no {names} under data.root={root}.")
    known, found, problems = dict.fromkeys(files), dict[str, str](), list[str]()
    for word, path in lists.items():
        lines = _lines(path)
        whole = match(lines, known, root)
        first = match((line.split()[0] for line in whole.unknown), known, root)
        for line in lines:
            file = whole.names.get(line) or first.names.get(line.split()[0])
            if file is None:
                several = line in whole.ambiguous or line.split()[0] in first.ambiguous
                problems.append(f"{path.name}: {line} ({'several files' if several else 'no such image'})")
            elif found.setdefault(file, SPLIT_WORDS[word]) != SPLIT_WORDS[word]:
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


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a list of names: {error}.") from error
    return [line.strip() for line in lines if line.strip()]
