import pytest

from label_spaces.csv_files import read_space
from label_spaces.space import LabelSpaceError


def write(tmp_path, text):
    path = tmp_path / "fruit.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_that_a_file_may_hold(tmp_path):
    space = read_space(
        write(
            tmp_path,
            "# Source: the market.\n\n name , id, colour ,void,note\n"
            'apple,7,#ff0010,no,"red, mostly"\nbirne,3,#00FF20,,\nleaf,0,#000000,yes,\nstone,255,,YES,\n',
        )
    )
    assert (space.name, space.classes, space.ids) == ("fruit", ("apple", "birne"), (7, 3))
    assert space.colours == ((255, 0, 16), (0, 255, 32))
    assert space.void_ids == (0, 255)
    assert space.labels == {"apple": 0, "birne": 1, "leaf": 2, "stone": 2}
    assert space.levels == {}
    assert [space.index_of_id()[identity] for identity in (7, 3, 0, 255)] == [0, 1, 2, 2]


def test_colours_in_three_columns_or_none_at_all(tmp_path):
    assert read_space(write(tmp_path, "name,id,red,green,blue\nfig,0,1,2,3\n")).colours == ((1, 2, 3),)
    assert read_space(write(tmp_path, "\ufeffname,id\nfig,0\n")).colours == ()


def test_rows_that_a_spreadsheet_left_empty_are_no_rows(tmp_path):
    space = read_space(write(tmp_path, "\ufeffname,id,note\r\nfig,0,\r\n,,\r\nplum,1,\r\n , , \r\n,,\r\n"))
    assert space.classes == ("fig", "plum")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_label_space_as_a_spreadsheet_writes_it(tmp_path, encoding):
    text = '# mine\r\nname ; id;red;green;blue\r\nfig;0;1;2;3\r\n\r\n"plum; ripe";1;4;5;6\r\n;;;;\r\n'
    (tmp_path / "fruit.csv").write_bytes(text.encode(encoding))
    space = read_space(tmp_path / "fruit.csv")
    assert (space.classes, space.colours) == (("fig", "plum; ripe"), ((1, 2, 3), (4, 5, 6)))


def test_a_colour_may_come_first_without_being_a_comment(tmp_path):
    assert read_space(write(tmp_path, "colour,name,id\n#010203,fig,0\n")).colours == ((1, 2, 3),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,id\nfig,0\nplum,1\nfig,2\n", r"fruit\.csv, line 4: the name fig is in .*line 2 already"),
        ("# a remark\nname,id\nfig,3\nplum,03\n", r"line 4: the id 3 is in .*line 3 already"),
        ("name,id\nfig,256\n", r"line 2: id is 256; it must lie in 0–255"),
        ("name,id\nfig,-1\n", r"line 2: id is -1"),
        ("name,id\nfig,two\n", r"line 2: id is 'two'; it must be a whole number"),
        ("name,id\n,1\n", r"line 2: the name is empty"),
        ("name,id,colour\nfig,0,red\n", r"line 2: the colour 'red' is none; write it as #rrggbb"),
        ("name,id,colour\nfig,0,#12345\n", r"line 2: the colour '#12345' is none"),
        ("name,id,colour\nfig,0,#12345g\n", r"line 2: the colour '#12345g' is none"),
        ("name,id,colour\nfig,0,#12 4 6\n", r"line 2: the colour '#12 4 6' is none"),
        ("name,id,red,green,blue\nfig,0,1,2,300\n", r"line 2: blue is 300"),
        ("name,id,red,green,blue\nfig,0,1,,3\n", r"line 2: green is ''"),
        ("name,id,red\nfig,0,1\n", r"as red, green and blue, or as colour"),
        ("name,id,red,green,blue\nfig,0,1,2,3\nplum,1,,,\n", r"line 3: no colour; give one per class or none"),
        ("name,id,void\nfig,0,maybe\n", r"line 2: void is 'maybe'; it must be yes or no"),
        ("name,id,void\nfig,0,yes\n", r"every row is void"),
        ("name,id\n", r"holds no classes"),
        ("", r"holds no classes"),
        ("name,nummer\nfig,0\n", r"no column id; it has name, nummer"),
        ("name,id,colur\nfig,0,#000000\n", r"unknown column colur; known are name, id, red"),
        ("name,id,id\nfig,0,0\n", r"line 1: the column id appears twice"),
        ("name,id\nfig\n", r"line 2: 1 cells under a header of 2"),
        ("name,id\n" + "".join(f"c{i},{i}\n" for i in range(255)), r"line 256: .* at most 254 classes, this has 255"),
    ],
)
def test_a_broken_file_is_refused_by_its_row(tmp_path, text, complaint):
    with pytest.raises(LabelSpaceError, match=complaint):
        read_space(write(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(LabelSpaceError, match=r"none\.csv cannot be read: No such file"):
        read_space(tmp_path / "none.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff")
    with pytest.raises(LabelSpaceError, match=r"image\.csv is not a text table"):
        read_space(tmp_path / "image.csv")
