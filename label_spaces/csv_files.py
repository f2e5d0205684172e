"""Label spaces and label tables as files with a row per label; errors name the file and the row."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from label_spaces.csv_reader import CSVError, read_table, read_text
from label_spaces.space import NO_ID, Colour, LabelSpace, LabelSpaceError

ENDINGS = (".csv", ".tsv", ".txt")  # of files that hold a label space
_CHANNELS = ("red", "green", "blue")
_KNOWN = ("name", "id", *_CHANNELS, "colour", "void", "important", "note")
# What other tools call these columns, in lower case: class_dict.csv (name,r,g,b), Roboflow's _classes.csv (Pixel Value,Class).
_OTHER_NAMES = {"r": "red", "g": "green", "b": "blue", "color": "colour", "class": "name", "class name": "name",
                "class_name": "name", "label": "name", "pixel value": "id", "class_id": "id", "label_id": "id"}  # fmt: skip
_IGNORE = "__ignore__"  # what labelme calls the pixels of no class, before the first class
_TRUTH = {"yes": True, "no": False, "": False}
_BYTE = range(256)  # what a mask file can hold, and a channel of a colour
_MOST_CLASSES = NO_ID - 1  # void's index, which follows the last class, must fit into a byte below NO_ID


@dataclass(frozen=True)
class Row:
    """A row of a CSV file: the cells by column, without spaces around them, and its place (file and line) for messages."""

    place: str
    values: Mapping[str, str]

    def integer(self, column: str) -> int:
        """Return the whole number in a column. Raises LabelSpaceError naming the row where it is none."""
        value = self.values[column]
        try:
            return int(value)
        except ValueError:
            raise LabelSpaceError(f"{self.place}: {column} is {value!r}; it must be a whole number") from None

    def byte(self, column: str) -> int:
        """Return the number 0–255 in a column. Raises LabelSpaceError naming the row where it is none."""
        value = self.integer(column)
        if value not in _BYTE:
            raise LabelSpaceError(f"{self.place}: {column} is {value}; it must lie in 0–255")
        return value

    def truth(self, column: str) -> bool:
        """Return whether a column is ``yes``; a column that is missing or empty counts as ``no``."""
        value = self.values.get(column, "").lower()
        if value not in _TRUTH:
            raise LabelSpaceError(f"{self.place}: {column} is {value!r}; it must be yes or no")
        return _TRUTH[value]

    def colour(self) -> Colour | None:
        """Return the colour, of red, green and blue or #rrggbb, or None. Raises LabelSpaceError naming the row."""
        text = self.values.get("colour", "")
        if text:
            if not re.fullmatch("#[0-9A-Fa-f]{6}", text):
                raise LabelSpaceError(f"{self.place}: the colour {text!r} is none; write it as #rrggbb")
            red, green, blue = bytes.fromhex(text[1:])
            return red, green, blue
        if any(self.values.get(channel) for channel in _CHANNELS):
            return self.byte("red"), self.byte("green"), self.byte("blue")
        return None


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a CSV file as `csv_reader.read_table` does; lines that begin with ``# `` are comments.

    Raises LabelSpaceError where the file cannot be read, has no row, or a row has more or fewer cells than the header.
    """
    try:
        table = read_table(path, comments=True)
    except CSVError as error:
        raise LabelSpaceError(str(error)) from error
    if not table.rows:
        raise LabelSpaceError(f"{path} holds no classes; expected a header of columns, and a row per class")
    return [
        Row(f"{path}, line {row.line}", {column: cell.strip() for column, cell in row.cells.items()})
        for row in table.rows
    ]


def read_space(path: Path) -> LabelSpace:
    """Read a label space, named after its file: a row per class, in index order.

    Columns, in any case: ``name``; ``id``, its number 0–255 in a mask file, which may be missing where there are colours
    and is then the position of the row, from 0; optionally its colour, as ``red``, ``green`` and ``blue`` (or ``r``,
    ``g``, ``b``) in 0–255 or as ``colour`` (#rrggbb), for every class or for none; ``void``: a row with yes is no class,
    but a label, an id and a colour of void; ``important``: yes where its confusions cost most in Safe mIoU; ``note``:
    anything. Other columns are ignored, unless their name is close to one of these. A file that ends in ``.txt`` is
    CVAT's labelmap.txt (``label:red,green,blue:parts:actions``), or has the name of a class in each line.

    Raises LabelSpaceError naming the file and the row.
    """
    given = _listed(path) if path.suffix.lower() == ".txt" else read_rows(path)
    rows = _renamed(path, given)
    _check_columns(path, tuple(rows[0].values), tuple(given[0].values))
    if "id" not in rows[0].values:
        rows = [Row(row.place, {**row.values, "id": str(number)}) for number, row in enumerate(rows)]
    _check_unique(rows)
    void = [row for row in rows if row.truth("void")]
    classes = [row for row in rows if not row.truth("void")]
    if not classes:
        raise LabelSpaceError(f"{path}: every row is void; a label space needs at least one class")
    if len(classes) > _MOST_CLASSES:
        raise LabelSpaceError(
            f"{classes[_MOST_CLASSES].place}: a label space has at most {_MOST_CLASSES} classes, this has {len(classes)}"
        )
    labels = {row.values["name"]: index for index, row in enumerate(classes)}
    return LabelSpace(
        name=path.stem,
        classes=tuple(labels),
        colours=_colours(classes),
        ids=tuple(row.byte("id") for row in classes),
        void_ids=tuple(row.byte("id") for row in void),
        void_colours=tuple(colour for row in void if (colour := row.colour()) is not None),
        labels=labels | {row.values["name"]: len(classes) for row in void},
        important=tuple(index for index, row in enumerate(classes) if row.truth("important")),
    )


def _listed(path: Path) -> list[Row]:
    """Return the rows of a text file: of CVAT's form, or a name in each line. Raises LabelSpaceError where it has neither."""
    try:
        lines = [(n, line.strip()) for n, line in enumerate(read_text(path).splitlines(), start=1)]
    except CSVError as error:
        raise LabelSpaceError(str(error)) from error
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise LabelSpaceError(f"{path} holds no classes; expected a class in each line")
    first = int(lines[0][1] == _IGNORE)
    rows = []
    for number, (n, line) in enumerate(lines):
        name, *rest = line.rsplit(":", 3)
        if len(rest) not in (0, 3):
            raise LabelSpaceError(f"{path}, line {n}: {line!r} is not label:red,green,blue:parts:actions")
        void, identity = ("yes", NO_ID) if first and number == 0 else ("no", number - first)
        values = {"name": name.strip(), "id": str(identity), "void": void}
        channels = rest[0].split(",") if rest and rest[0].strip() else [""] * len(_CHANNELS)
        if len(channels) != len(_CHANNELS):
            raise LabelSpaceError(f"{path}, line {n}: {rest[0]!r} is no colour; write it as red,green,blue")
        channels = [channel.strip() for channel in channels]
        rows.append(Row(f"{path}, line {n}", values | dict(zip(_CHANNELS, channels, strict=True))))
    return rows


def _renamed(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the columns' own names, without those that are of no use here. Raises LabelSpaceError."""
    plain = {column: " ".join(column.lower().split()) for column in rows[0].values}
    known = {column: name for column, name in plain.items() if name in _KNOWN}
    own = {*known.values()}
    others = {column: _OTHER_NAMES[name] for column, name in plain.items() if name in _OTHER_NAMES}
    known |= {column: name for column, name in others.items() if name not in own}
    repeated = next((name for name in known.values() if list(known.values()).count(name) > 1), None)
    if repeated is not None:
        raise LabelSpaceError(f"{path}: the column {repeated} appears twice: {', '.join(rows[0].values)}")
    unknown = [column for column in plain if column not in known and plain[column] not in _OTHER_NAMES]
    near = [column for column in unknown if difflib.get_close_matches(plain[column], _KNOWN[:-1], 1, 0.7)]
    if near:
        raise LabelSpaceError(f"{path}: unknown column {', '.join(near)}; known are {', '.join(_KNOWN)}")
    return [Row(row.place, {known[c]: value for c, value in row.values.items() if c in known}) for row in rows]


def _check_columns(path: Path, columns: Sequence[str], given: Sequence[str]) -> None:
    coloured = "colour" in columns or {*_CHANNELS} <= {*columns}
    missing = [column for column in ("name", *(() if coloured else ("id",))) if column not in columns]
    if missing:
        raise LabelSpaceError(f"{path} has no column {' and '.join(missing)}; it has {', '.join(given)}")
    channels = [channel for channel in _CHANNELS if channel in columns]
    if channels and ("colour" in columns or len(channels) < len(_CHANNELS)):
        raise LabelSpaceError(f"{path}: give colours as red, green and blue, or as colour (#rrggbb)")


def _check_unique(rows: Sequence[Row]) -> None:
    """Raise LabelSpaceError where a name is empty, or two rows have the same name or id."""
    seen: dict[tuple[str, str | int], str] = {}
    for row in rows:
        if not row.values["name"]:
            raise LabelSpaceError(f"{row.place}: the name is empty")
        for column, value in (("name", row.values["name"]), ("id", row.byte("id"))):
            if (column, value) in seen:
                raise LabelSpaceError(f"{row.place}: the {column} {value} is in {seen[column, value]} already")
            seen[column, value] = row.place


def _colours(classes: Sequence[Row]) -> tuple[Colour, ...]:
    colours = [(row, row.colour()) for row in classes]
    known = tuple(colour for _, colour in colours if colour is not None)
    if known and len(known) < len(classes):
        without = next(row for row, colour in colours if colour is None)
        raise LabelSpaceError(f"{without.place}: no colour; give one per class or none")
    return known
