"""Tables and text files that list samples: their columns, and which samples of a dataset they refer to."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from datamodules.errors import DatasetError, shortened
from datamodules.splits.sample_table import COLUMNS, SPLIT_WORDS, SPLITS, TABLE_SPLITS, Candidate, split_of
from label_spaces.csv_reader import CSVError, CSVTable, read_table
from label_spaces.space import normalised
from settings.data import DataSettings

# What other people call the columns, without spaces and underscores; the first that is there is taken.
SAMPLE_COLUMNS = ("sample", "file", "filename", "filepath", "path", "relpath", "image", "imagepath", "imagefile", "imagefilename",
                  "imagename", "imageid", "imageids", "img", "imgpath", "imgname", "imgid", "picture", "photo", "name", "fname", "id", "uid", "uuid")  # fmt: skip
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "usage", "datasplit", "dataset")
GROUP_COLUMNS = ("group", "drive")


def table_of(path: Path, key: str = "") -> CSVTable:
    """Return the table in a CSV file. Raises DatasetError, its message beginning with `key` and the path."""
    try:
        return read_table(path)
    except CSVError as error:
        raise DatasetError(f"{key}{error}.") from error


def first_named(table: CSVTable, names: Sequence[str]) -> str | None:
    """Return the column that is called by the earliest of `names`, or None."""
    return next((found[0] for name in names if (found := table.named([name]))), None)


def read_rows(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a split CSV, with the columns `required` by these names, whatever the file calls sample and split.

    Raises DatasetError naming the row, or the `required` column, that is wrong.
    """
    table = table_of(path)
    others = {"sample": SAMPLE_COLUMNS, "split": SPLIT_COLUMNS}
    names = {column: first_named(table, others.get(column, (column,))) for column in required}
    if missing := [column for column, name in names.items() if name is None]:
        having = ", ".join(table.columns) or "no columns"
        raise DatasetError(
            f"{path} has no column {', '.join(missing)}; its first line must name {', '.join(required)}, and it has {having}."
        )
    seen: dict[str, int] = {}
    rows = []
    for row in table.rows:
        cells = row.cells | {column: row.cells[str(name)] for column, name in names.items()}
        place = f"{path}, line {row.line}"
        sample, split = cells["sample"], cells["split"].strip()
        cells["split"] = split if split in TABLE_SPLITS else split_of(split) or ""
        if not cells["split"]:
            raise DatasetError(f"{place}: unknown split {split!r} of sample {sample}; use {', '.join(SPLITS)}.")
        if sample in seen:
            raise DatasetError(f"{place}: sample {sample} already stands in line {seen[sample]}; keep one of the two.")
        seen[sample] = row.line
        rows.append(cells)
    return rows


def has_targets(path: Path) -> bool:
    """Whether a split CSV has the samples' classes too, as a run's own has. Raises DatasetError."""
    return {"sample", "target"} <= set(table_of(path).columns)


@dataclass
class Matches:
    """The sample names that a list refers to, by what is written there; and what fits none of them, or more than one."""

    names: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    beyond: str | None = None  # the folders that all paths of the list have before the names

    def repeated(self) -> list[list[str]]:
        """Return what is written for the same name, where that is more than one thing."""
        by_name = defaultdict(list)
        for written, name in self.names.items():
            by_name[name].append(written)
        return [written for written in by_name.values() if len(written) > 1]


def match(written: Iterable[str], names: Collection[str], root: Path) -> Matches:
    """Find the names, POSIX paths relative to `root`, that paths in a list refer to.

    A path fits a name if one is the end of the other, folder by folder; its ending may be missing, and the case may
    differ where that leaves one name. What a path has beyond a name must be the same for the whole list, or be folders
    of `root`.
    """
    found, by_last, written = Matches(), defaultdict(list), dict.fromkeys(written)
    pending = [each for each in written if each not in names]
    found.names = {each: each for each in written if each in names}
    if not pending:
        return found
    for name in names:
        last = PurePosixPath(name).name
        for key in {folded(last), folded(PurePosixPath(last).stem)}:
            by_last[key].append(name)
    longer: dict[str, dict[str, str]] = defaultdict(dict)
    for each in pending:
        parts = _parts(each)
        fitting = _fitting(parts, by_last.get(folded(parts[-1]), []) if parts else [])
        if not fitting:
            found.unknown.append(each)
        elif len(fitting) > 1:
            found.ambiguous[each] = sorted(fitting)
        else:
            beyond = "/".join(parts[: max(0, len(parts) - len(_parts(fitting[0])))])
            longer[beyond if not _is_end(_parts(beyond), root.parts) else ""][each] = fitting[0]
    if len(longer) == 1 and not found.names:
        found.beyond = next(iter(longer)) or None
    for beyond, these in longer.items():
        if beyond and found.beyond is None:
            found.unknown += these
        else:
            found.names |= these
    return found


def _fitting(parts: list[str], names: Sequence[str]) -> list[str]:
    """Return the names that a path fits, the longest of those that are its end; one where it alone is exact."""
    of_name = {name: _parts(name) for name in names}
    alike = [*map(folded, parts)]
    fitting = [name for name, its_parts in of_name.items() if _agree([*map(folded, its_parts)], alike)]
    if ends := [name for name in fitting if len(of_name[name]) <= len(parts)]:
        longest = max(len(of_name[name]) for name in ends)
        fitting = [name for name in ends if len(of_name[name]) == longest]
    exact = [name for name in fitting if _agree(of_name[name], parts)]
    return exact if len(exact) == 1 else fitting


def _agree(name: list[str], parts: list[str]) -> bool:
    """Whether one is the end of the other, a missing ending apart."""
    own = name if name[-1] == parts[-1] else [*name[:-1], PurePosixPath(name[-1]).stem]
    return _is_end(own, parts) or _is_end(parts, own)


def _is_end(short: Sequence[str], long: Sequence[str]) -> bool:
    return len(short) <= len(long) and list(long[len(long) - len(short) :]) == list(short)


def _parts(path: str) -> list[str]:
    return [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".")]


def folded(text: str) -> str:
    """Return a name in one case and in one of Unicode's ways of writing it, for comparison."""
    return normalised(text).casefold()


def take_listed(found: list[Candidate], settings: DataSettings, path: Path) -> tuple[list[Candidate], list[str], bool]:
    """Return the samples that a CSV lists, with its values; notes; whether it has every column of a table."""
    rows = {row["sample"]: row for row in read_rows(path, ("sample", "split"))}
    roots = settings.root if isinstance(settings.root, list) else [settings.root or "."]
    matches = match(rows, {candidate.name: None for candidate in found}, Path(roots[0]))
    if matches.unknown:
        raise DatasetError(
            f"data.split={path} lists {len(matches.unknown)} samples that were not found or cannot be read: "
            f"{shortened(matches.unknown)}; give paths relative to data.root, as a run's split.csv has them."
        )
    if matches.ambiguous:
        listed = [f"{written} ({shortened(names, 2)})" for written, names in matches.ambiguous.items()]
        raise DatasetError(f"data.split={path} lists names that fit several samples: {shortened(listed)}; add folders.")
    row_of = {name: rows[written] for written, name in matches.names.items()}
    if repeated := matches.repeated():
        raise DatasetError(f"data.split={path} lists one sample as {' and as '.join(repeated[0])}; keep one of them.")
    chosen, relabelled = [], 0
    for candidate in found:
        if row := row_of.get(candidate.name):
            target = row.get("target") or candidate.target
            same = normalised(target.strip()) == normalised(candidate.target.strip())
            target = candidate.target if same else target.strip()
            relabelled += target != candidate.target
            group = row.get("group") or candidate.group
            group = candidate.name if group == row["sample"] else group  # a group of its own, however it is written
            chosen.append(replace(candidate, group=group, target=target, split=row["split"]))
    notes = []
    if matches.beyond:
        notes.append(f"All paths in {path} begin with {matches.beyond}, which is taken for data.root.")
    if len(chosen) < len(found):
        notes.append(f"Samples that are not in {path}: {len(found) - len(chosen)} of {len(found)}; they are left out.")
    if relabelled:
        notes.append(
            f"Samples with another class in {path} than where they were found: {relabelled}; the CSV's class is taken."
        )
    whole = bool(rows) and set(COLUMNS) <= set(next(iter(rows.values())))
    return chosen, notes, whole


def read_split_lists(root: Path, pattern: str, files: Iterable[str]) -> dict[str, str]:
    """Return the split of each of `files` that a list names; these and `pattern`, the lists' path, are relative to `root`.

    A line names a file as in `match`; what follows a space is another column, unless the whole line is a name. Raises
    DatasetError where there are no lists of train and val, or a list names what is not there, or what another one names.
    """
    lists = {word: root / pattern.replace("{split}", word) for word in SPLIT_WORDS}
    lists = {word: path for word, path in lists.items() if path.is_file()}
    if missing := {"train", "val"} - {SPLIT_WORDS[word] for word in lists}:
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
