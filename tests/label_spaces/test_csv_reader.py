"""The same table, however a spreadsheet or a script has written it."""

import csv
import io

import pytest

from label_spaces.csv_reader import CSVError, read_table

ROWS = [
    {"file": "a, b.png", "label": 'the "cat"'},
    {"file": "c;d.png", "label": "Hündin"},
    {"file": "e\tf", "label": ""},
]


def written(delimiter=",", lineterminator="\n", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO()
    table = csv.DictWriter(text, ["file", "label"], delimiter=delimiter, lineterminator=lineterminator, quoting=quoting)
    table.writeheader()
    table.writerows(ROWS)
    return text.getvalue()


def read(tmp_path, content, **options):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(path, **options)
    return [row.cells for row in table.rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_any_delimiter_line_end_and_quoting(tmp_path, delimiter, end, quoting):
    assert read(tmp_path, written(delimiter, end, quoting)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_encoding_of_unicode(tmp_path, encoding):
    assert read(tmp_path, written().encode(encoding)) == ROWS
    assert read(tmp_path, b"\xfe\xff" + written(";", "\r\n").encode("utf-16-be")) == ROWS


def test_a_delimiter_that_excel_names_in_the_first_line(tmp_path):
    assert read(tmp_path, "sep=;\r\n" + written(";", "\r\n")) == ROWS


@pytest.mark.parametrize("empty", ["\n\n\n", ",\n,\n", "  \n", ", \n"])
def test_empty_rows_are_left_out(tmp_path, empty):
    assert read(tmp_path, empty + written() + empty) == ROWS


def test_spaces_around_names_of_columns_columns_without_a_name_and_cells_that_trail(tmp_path):
    assert read(tmp_path, ", file ,label \n0,a.png,cat\n1,b.png,dog,,\n") == [
        {"file": "a.png", "label": "cat"},
        {"file": "b.png", "label": "dog"},
    ]


def test_cells_stay_as_they_are_also_over_several_lines_and_each_row_has_its_line(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('\n\nfile,label\n" a\nb",cat \n\n# c,dog\n')
    table = read_table(path)
    assert [(row.line, *row.cells.values()) for row in table.rows] == [(4, " a\nb", "cat "), (7, "# c", "dog")]
    assert [row.cells["file"] for row in read_table(path, comments=True).rows] == [" a\nb"]


def test_columns_are_found_by_their_names_in_any_writing(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("Image ID;LABEL;note\n1;2;3\n")
    table = read_table(path)
    assert (table.named(["image_id", "file"]), table.named(["label"]), table.named(["x"])) == (
        ["Image ID"],
        ["LABEL"],
        [],
    )


def test_nothing_is_an_empty_table(tmp_path):
    path = tmp_path / "table.csv"
    for content in ("", "\n", "\ufeff"):
        path.write_text(content)
        table = read_table(path)
        assert (table.columns, table.rows) == ((), ())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1\n", r"table\.csv, line 2: 1 cells under a header of 2; .* comma into double quotes"),
        ("a;b\n\n1;2;3\n", r"line 3: 3 cells under a header of 2; .* semicolon"),
        ("a,b,a\n", r"line 1: the column a appears twice"),
        ('a,b\n1,2\n"x,3\n4,5\n', r"line 3: .*check its double quotes"),
        (b"a,b\n1,2\nM\xfcnchen,3\n", r"not a text table: line 3 is not UTF-8; save it as CSV in UTF-8"),
        (b"\x89PNG\xff", r"is not a text table"),
        (b"PK\x03\x04\x14\x00", r"an Excel workbook or another archive, not a text table; save it as CSV"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(tmp_path, content, words):
    with pytest.raises(CSVError, match=words):
        read(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CSVError, match=r"none\.csv cannot be read: No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(CSVError, match=r"cannot be read: Is a directory"):
        read_table(tmp_path)
