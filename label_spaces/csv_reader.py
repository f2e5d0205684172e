"""Tables in CSV files as users have them: any usual delimiter, encoding and line end; errors name the file and the line."""

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_MARKS = {  # of UTF-32 first: UTF-16's is its beginning
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY = {b"PK\x03\x04": "an Excel workbook or another archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}


class CSVError(ValueError):
    """A file that is no table; the message names it, the line and what to do."""


@dataclass(frozen=True)
class CSVRow:
    """A row: the line that it begins in, from 1, and its cells as they are written, by column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class CSVTable:
    """The rows of a file below its header; columns without a name are left out."""

    path: Path
    columns: tuple[str, ...]  # without spaces around the names
    rows: tuple[CSVRow, ...]

    def named(self, names: Collection[str]) -> list[str]:
        """Return the columns that are called by one of `names`, whatever their case, spaces and underscores."""
        wanted = {_plain(name) for name in names}
        return [column for column in self.columns if _plain(column) in wanted]


def read_table(path: Path, *, comments: bool = False) -> CSVTable:
    """Read a table. The header is the first line that is not empty; empty rows, commas apart, are left out.

    The delimiter is the one that the header has most of, or that a first line such as ``sep=;`` names. With `comments`,
    lines that begin with ``# `` are left out too. Raises CSVError.
    """
    text = read_text(path)
    if comments:
        text = re.sub(r"^# .*$", "", text, flags=re.MULTILINE)  # an empty line instead: line numbers stay
    first = next((line for line in text.splitlines() if line.strip()), "")
    if stated := re.fullmatch(r"sep=([,;\t|])", first.strip(" ")):
        text, delimiter = text.replace(first, "", 1), stated[1]
    else:
        delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), ())))
    records = _records(path, text, delimiter)
    if not records:
        return CSVTable(path, (), ())
    (line, header), *rest = records
    header = [name.strip() for name in header]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise CSVError(f"{path}, line {line}: the column {', '.join(repeated)} appears twice")
    rows = []
    for number, cells in rest:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise CSVError(
                f"{path}, line {number}: {len(cells)} cells under a header of {len(header)}; put a cell that holds "
                f"a {DELIMITERS[delimiter]} into double quotes"
            )
        rows.append(CSVRow(number, {name: cell for name, cell in zip(header, cells, strict=False) if name}))
    return CSVTable(path, tuple(name for name in header if name), tuple(rows))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def read_text(path: Path) -> str:
    """Return the text of a file in any encoding of Unicode, determined by its byte order mark or zero bytes, else UTF-8. Raises CSVError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CSVError(f"{path} cannot be read: {error.strerror}") from error
    for start, what in _BINARY.items():
        if content.startswith(start):
            raise CSVError(f"{path} is {what}, not a text table; save it as CSV in UTF-8")
    by_mark = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), None)
    wide = {b"\0": "utf-16-be"}.get(content[:1]) or {b"\0": "utf-16-le"}.get(content[1:2])  # of ASCII, without a mark
    encoding = by_mark or wide or "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CSVError(
            f"{path} is not a text table: line {line} is not {encoding.upper().removesuffix('-SIG')}; save it as CSV in UTF-8"
        ) from error


def _records(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the line that it begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise CSVError(f"{path}, line {line}: {error}; check its double quotes") from error
    return found
