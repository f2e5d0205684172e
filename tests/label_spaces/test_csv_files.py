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


CAMVID = """name,r,g,b
Animal,64,128,64
Archway,192,0,128
Bicyclist,0,128,192
Void,0,0,0
Wall,64,192,0
"""


def test_class_dict_as_it_is_downloaded(tmp_path):
    space = read_space(write(tmp_path, CAMVID))
    assert space.classes == ("Animal", "Archway", "Bicyclist", "Void", "Wall")
    assert (space.ids, space.colours[2], space.void_ids) == ((0, 1, 2, 3, 4), (0, 128, 192), ())


@pytest.mark.parametrize(
    ("text", "classes", "ids", "colours"),
    [
        (" Name, R,G ,B\na,1,2,3\nb,4,5,6\n", ("a", "b"), (0, 1), ((1, 2, 3), (4, 5, 6))),
        ("NAME,ID,Red,GREEN,Blue\na,9,1,2,3\n", ("a",), (9,), ((1, 2, 3),)),
        ("class,color,description\na,#010203,what\n", ("a",), (0,), ((1, 2, 3),)),
        ("Pixel Value, Class\n0, background\n1, road\n", ("background", "road"), (0, 1), ()),  # Roboflow's _classes.csv
        ("name,id,trainId,category,hasInstances\nroad,7,0,flat,no\n", ("road",), (7,), ()),
        ("label,class_id,note,r,g,b\na,3,x,1,2,3\n", ("a",), (3,), ((1, 2, 3),)),
        ("name,r,g,b,void\na,1,2,3,\nnone,9,9,9,yes\nb,4,5,6,no\n", ("a", "b"), (0, 2), ((1, 2, 3), (4, 5, 6))),
    ],
)
def test_columns_as_other_tools_call_them(tmp_path, text, classes, ids, colours):
    space = read_space(write(tmp_path, text))
    assert (space.classes, space.ids, space.colours) == (classes, ids, colours)


def test_the_colour_of_a_row_that_is_no_class_is_kept(tmp_path):
    space = read_space(write(tmp_path, "name,r,g,b,void\na,1,2,3,\nnone,9,9,9,yes\n"))
    assert (space.void_ids, space.void_colours) == ((1,), ((9, 9, 9),))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,class_id,label_id\na,1,2\n", r"the column id appears twice: name, class_id, label_id"),
        ("name,Name,id\na,b,0\n", "the column name appears twice"),
        ("name,id,viod\na,0,yes\n", "unknown column viod; known are name"),
        ("name,r,g\na,1,2\n", r"no column id; it has name, r, g"),
        ("name,category\na,b\n", r"no column id; it has name, category"),
    ],
)
def test_columns_that_could_mean_two_things_are_refused(tmp_path, text, complaint):
    with pytest.raises(LabelSpaceError, match=complaint):
        read_space(write(tmp_path, text))


def listed(tmp_path, text):
    (tmp_path / "labelmap.txt").write_text(text, encoding="utf-8")
    return read_space(tmp_path / "labelmap.txt")


def test_cvats_labelmap(tmp_path):
    text = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nperson:220,20,60:head,hand:walk,run\n"
    )
    space = listed(tmp_path, text)
    assert (space.name, space.classes, space.ids) == ("labelmap", ("background", "road", "person"), (0, 1, 2))
    assert space.colours == ((0, 0, 0), (128, 64, 128), (220, 20, 60))
    assert listed(tmp_path, "\ufeff# x\r\nroad:1,2,3::\r\na:b:4,5,6::\r\n").classes == ("road", "a:b")


def test_a_list_of_names(tmp_path):
    assert listed(tmp_path, "road\n\ntraffic sign\n").classes == ("road", "traffic sign")
    space = listed(tmp_path, "__ignore__\n_background_\nroad\n")  # labelme's labels.txt
    assert (space.classes, space.ids, space.void_ids) == (("_background_", "road"), (0, 1), (255,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# nothing\n", "holds no classes"),
        ("road:1,2,3\n", r"line 1: 'road:1,2,3' is not label:red,green,blue:parts:actions"),
        ("a:1,2,3::\nb:1,2::\n", r"line 2: '1,2' is no colour; write it as red,green,blue"),
        ("a:1,2,300::\n", r"line 1: blue is 300"),
        ("a:1,2,3::\nb:::\n", r"line 2: no colour; give one per class or none"),
        ("a\na\n", r"line 2: the name a is in .*line 1 already"),
    ],
)
def test_a_broken_list_is_refused_by_its_line(tmp_path, text, complaint):
    with pytest.raises(LabelSpaceError, match=complaint):
        listed(tmp_path, text)
