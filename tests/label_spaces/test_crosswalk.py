from pathlib import Path

import pytest

from label_spaces.catalogue import load
from label_spaces.crosswalk import find, read
from label_spaces.csv_files import read_rows
from label_spaces.space import LabelSpace, LabelSpaceError
from run_folder import write_csv

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "label_spaces" / "crosswalks"
LEVELS = ("idd_level3", "idd_level2", "idd_level1")

# By source class the ids at levels 3, 2 and 1, worked out by hand from IDD's label table; "-": no class there.
VOC = {
    "background": "---", "aeroplane": "---", "bicycle": (7, 6, 3), "bird": (4, 4, 2), "boat": "---", "bottle": "---",
    "bus": (11, 8, 3), "car": (9, 7, 3), "cat": (4, 4, 2), "chair": "---", "cow": (4, 4, 2), "diningtable": "---",
    "dog": (4, 4, 2), "horse": (4, 4, 2), "motorbike": (6, 6, 3), "person": (4, 4, 2), "pottedplant": "---",
    "sheep": (4, 4, 2), "sofa": "---", "train": (12, 8, 3), "tvmonitor": "---",
}  # fmt: skip
CITYSCAPES = {
    "road": (0, 0, 0), "sidewalk": (2, 2, 1), "building": (22, 13, 5), "wall": (14, 9, 4), "fence": (15, 10, 4),
    "pole": (20, 12, 4), "traffic light": (19, 11, 4), "traffic sign": (18, 11, 4), "vegetation": (24, 14, 5),
    "terrain": (3, 3, 1), "sky": (25, 15, 6), "person": (4, 4, 2), "rider": (5, 5, 2), "car": (9, 7, 3),
    "truck": (10, 8, 3), "bus": (11, 8, 3), "train": (12, 8, 3), "motorcycle": (6, 6, 3), "bicycle": (7, 6, 3),
}  # fmt: skip
VOC_18 = {
    "bicycle": "Bicycle",
    "bus": "Bus",
    "car": "Car",
    "motorbike": "Motorbike",
    "person": "Person",
    "train": "Train",
}

# What can be expressed, by hand; what is not named here cannot be expressed at all.
EXPRESSED = {
    ("voc21", "idd_level3"): ("motorcycle, bicycle, car, bus", "person + animal, vehicle fallback", "rider"),
    ("voc21", "idd_level2"): ("two-wheeler", "person + animal, autorickshaw + car, large vehicle", "rider"),
    ("voc21", "idd_level1"): ("", "living things, vehicles", ""),
    ("voc21", "idd_lite"): ("", "living things, vehicles", ""),
    ("voc21", "idd_cityscapes18"): ("Person, Motorbike, Bicycle, Car, Bus, Train", "", "Rider"),
    ("voc21", "idd_cityscapes19"): ("person, car, bus, train, motorcycle, bicycle", "", "rider"),
    ("cityscapes19", "idd_level3"): (
        ("road, sidewalk, rider, motorcycle, bicycle, car, truck, bus, wall, fence, traffic sign, traffic light, pole, "
        "building, vegetation"),
        "non-drivable fallback, person + animal, vehicle fallback, sky + fallback background",
        "",
    ),
    ("cityscapes19", "idd_level2"): (
        "road, sidewalk, rider, two-wheeler, vegetation",
        ("non-drivable fallback, person + animal, autorickshaw + car, large vehicle, curb + wall, fence + guard rail, "
        "sign + light + billboard, pole + other obstacle, building + bridge, sky + fallback background"),
        "",
    ),
    ("cityscapes19", "idd_level1"): ("", ", ".join(load("idd_level1").classes), ""),
    ("cityscapes19", "idd_lite"): ("", ", ".join(load("idd_lite").classes), ""),
    ("cityscapes19", "idd_cityscapes18"): (", ".join(load("idd_cityscapes18").classes), "", ""),
    ("cityscapes19", "idd_cityscapes19"): (
        ", ".join(name for name in load("idd_cityscapes19").classes if name != "terrain"), "terrain", ""
    ),
}  # fmt: skip
EXPRESSIBLE = {
    ("voc21", "idd_level3"): 6, ("voc21", "idd_level2"): 4, ("voc21", "idd_level1"): 2, ("voc21", "idd_cityscapes18"): 6,
    ("cityscapes19", "idd_level3"): 19, ("cityscapes19", "idd_level2"): 15, ("cityscapes19", "idd_level1"): 7,
}  # fmt: skip


def crosswalk(source, target):
    return find(load(source), load(target))


@pytest.mark.parametrize(("source", "table"), [("voc21", VOC), ("cityscapes19", CITYSCAPES)])
@pytest.mark.parametrize("level", range(3))
def test_each_source_class_by_hand(source, table, level):
    found = crosswalk(source, LEVELS[level])
    expected = {name: load(LEVELS[level]).void if at == "---" else at[level] for name, at in table.items()}
    assert dict(zip(found.source.classes, found.mapping, strict=True)) == expected
    assert crosswalk(source, "idd_level3").at_level("idd_level2").mapping == crosswalk(source, "idd_level2").mapping
    assert crosswalk(source, "idd_lite").mapping == crosswalk(source, "idd_level1").mapping


def test_voc_and_the_notebooks_18_classes_by_hand():
    found = crosswalk("voc21", "idd_cityscapes18")
    names = (*found.target.classes, None)
    assert {
        name: names[to] for name, to in zip(found.source.classes, found.mapping, strict=True) if names[to]
    } == VOC_18
    assert found.targets[15] == (found.target.classes.index("Person"), found.target.classes.index("Rider"))
    assert found.rest == (0,)


@pytest.mark.parametrize(("source", "target"), EXPRESSED)
def test_what_can_be_expressed_by_hand(source, target):
    found = crosswalk(source, target)
    assert tuple(", ".join(found.named(status)) for status in ("full", "partly", "shared")) == EXPRESSED[source, target]
    rest = set(found.target.classes) - set(", ".join(EXPRESSED[source, target]).split(", "))
    assert set(found.named("no")) == rest - {""}


@pytest.mark.parametrize(("source", "target"), EXPRESSIBLE)
def test_how_much_can_be_expressed(source, target):
    assert len(crosswalk(source, target).expressible) == EXPRESSIBLE[source, target]


@pytest.mark.parametrize("source", ["voc21", "cityscapes19"])
@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_level_of_the_finest_is_the_level_itself(source, level):
    folded, direct = crosswalk(source, "idd_level3").at_level(level), crosswalk(source, level)
    assert (folded.mapping, folded.statuses, folded.targets) == (direct.mapping, direct.statuses, direct.targets)


def test_cityscapes_agrees_with_cs_train_id():
    source, rows = load("cityscapes19"), read_rows(ROOT / "label_spaces" / "tables" / "idd_labels.csv")
    official = {row.values["name"]: row.integer("csTrainId") for row in rows}
    crossed = read_rows(FOLDER / "cityscapes19_to_idd_labels.csv")
    primaries = {row.values["labels"].split(";")[0]: source.classes.index(row.values["source"]) for row in crossed}
    assert primaries == {name: identity for name, identity in official.items() if identity != 255}
    beside = {label for row in crossed for label in row.values["labels"].split(";")[1:]}
    assert {official[label] for label in beside} == {255}  # polegroup: the table is silent
    same = crosswalk("cityscapes19", "idd_cityscapes19")
    assert same.mapping == tuple(range(19))


def test_voc_agrees_with_cs_train_id_where_the_two_have_the_same_name():
    official = crosswalk("cityscapes19", "idd_level3")
    voc = crosswalk("voc21", "idd_level3")
    for name in ("bicycle", "bus", "car", "person", "train"):
        assert voc.mapping[voc.source.classes.index(name)] == official.mapping[official.source.classes.index(name)]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_ambiguous_rows_are_reasoned(path):
    rows = read_rows(path)
    assert [row.place for row in rows if row.truth("ambiguous") and len(row.values["note"]) < 20] == []
    assert all(row.values["relation"] for row in rows)
    assert sum(row.truth("ambiguous") for row in rows) >= 3


def test_label_spaces_of_one_table_need_no_file():
    finer = crosswalk("idd_level3", "idd_lite")
    assert finer.mapping == load("idd_level3").levels["idd_level1"]
    assert set(finer.statuses) == {"full"}
    to_18 = crosswalk("idd_level3", "idd_cityscapes18")
    names = (*to_18.target.classes, "void")
    named = dict(zip(to_18.source.classes, (names[index] for index in to_18.mapping), strict=True))
    assert named["person + animal"] == "Person"
    assert named["vehicle fallback"] == "Train"
    assert named["autorickshaw"] == named["curb"] == "void"
    with pytest.raises(LabelSpaceError, match="no crosswalk from idd_level1 to idd_level3; write one"):
        crosswalk("idd_level1", "idd_level3")  # drivable is several classes there, and none is the primary


TOYS = LabelSpace("toys", ("nothing", "ball", "doll", "car"))
THINGS = LabelSpace("things", ("sphere", "human", "robot", "vehicle", "tree"))


def toy(tmp_path, text, target=THINGS):
    path = tmp_path / "toys.csv"
    path.write_text(text)
    return read(path, TOYS, target)


def test_classes_whose_names_are_all_the_same_are_the_same():
    source, target = LabelSpace("a", ("sky", "road", "car"), ids=(5, 6, 7)), LabelSpace("b", ("road", "car", "sky"))
    found = find(source, target)
    assert found.mapping == (2, 0, 1)
    assert set(found.statuses) == {"full"}
    with pytest.raises(LabelSpaceError, match="there is no crosswalk from c to b"):
        find(LabelSpace("c", ("sky", "road")), target)


def test_a_users_file(tmp_path):
    found = toy(
        tmp_path,
        "source,target,relation,note\nball,sphere,,\ndoll,human;robot,,\nnothing,,rest,\ncar,vehicle,subset,\n",
    )
    assert found.mapping == (5, 0, 1, 3)
    assert found.targets == ((), (0,), (1, 2), (3,))
    assert found.statuses == ("full", "full", "shared", "partly", "no")
    assert (found.named("no"), found.expressible, found.rest) == (["tree"], (0, 1, 3), (0,))


def test_two_sources_for_one_class_and_the_least_a_file_needs(tmp_path):
    found = toy(tmp_path, "source,target\nnothing,\nball,sphere\ndoll,sphere\ncar,vehicle\n")
    assert found.mapping == (5, 0, 0, 3)
    assert found.rest == ()


def test_a_users_file_may_name_labels(tmp_path):
    text = "source,labels\nnothing,\nball,traffic light\ndoll,person\ncar,car;truck\n"
    found = toy(tmp_path, text, load("idd_level2"))
    assert found.mapping == (16, 11, 4, 7)
    assert [found.statuses[index] for index in (11, 4, 7, 8)] == ["partly", "partly", "partly", "shared"]
    assert toy(tmp_path, text, load("idd_level1")).statuses[3] == "partly"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source,target\nnothing,\nball,sphere\ncar,vehicle\n", r"toys\.csv, after line 4: no row for doll of toys"),
        ("source,target\nball,sphere\nball,robot\n", r"toys\.csv, line 3: ball is in .*line 2 already"),
        ("source,target\nball,cube\n", r"line 2: things has no 'cube'; it has sphere, human, robot, vehicle, tree"),
        ("source,target\nbat,sphere\n", r"line 2: toys has no class 'bat'; it has nothing, ball"),
        ("source,target\nball,sphere;sphere\n", r"line 2: sphere is named twice"),
        ("source,target\nball,sphere;\n", r"line 2: things has no ''"),
        ("source,target,relation\nball,sphere,none\n", r"line 2: the relation is none, but the row names sphere"),
        ("source,target,relation\nball,,equal\n", r"line 2: the relation is equal, but the row names nothing"),
        (
            "source,target,relation\nball,sphere,same\n",
            r"line 2: relation is 'same'; it must be one of equal, superset",
        ),
        ("source,target,covers\nball,sphere,half\n", r"line 2: covers is 'half'; it must be full or partly"),
        ("source,target,ambiguous\nball,sphere,perhaps\n", r"line 2: ambiguous is 'perhaps'; it must be yes or no"),
        ("source,aim\nball,sphere\n", r"unknown column aim; known are source, labels, target"),
        ("source,note\nball,sphere\n", r"needs the columns source and either target or labels; it has source, note"),
        ("source,labels\nball,sphere\n", r"things has no label table; name its classes in a column target"),
    ],
)
def test_a_broken_file_is_refused_with_its_row(tmp_path, text, complaint):
    with pytest.raises(LabelSpaceError, match=complaint):
        toy(tmp_path, text)


def test_a_class_whose_name_holds_the_separator_is_one_class(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("source,target\nlane,a;b\n")
    source = LabelSpace("theirs", ("lane",))
    assert read(path, source, LabelSpace("ours", ("c", "a;b"))).targets == ((1,),)
    assert read(path, source, LabelSpace("ours", ("a", "b"))).targets == ((0, 1),)
    with pytest.raises(LabelSpaceError, match="line 2: a;b is one class of ours and, by its parts, several; rename it"):
        read(path, source, LabelSpace("ours", ("a", "b", "a;b")))


@pytest.mark.parametrize("pair", [("voc21", "idd_level3"), ("cityscapes19", "idd_level1"), ("idd_level3", "idd_level2"), ("cityscapes_labels", "idd_labels")])  # fmt: skip
def test_a_crosswalk_is_read_back_from_its_rows(tmp_path, pair):
    source, target = map(load, pair)
    write_csv(tmp_path / "kept.csv", find(source, target).rows())
    again = read(tmp_path / "kept.csv", source, target)
    assert again == find(source, target)
    assert (again.mapping, again.statuses) == (find(source, target).mapping, find(source, target).statuses)


def test_ids_of_labels_have_the_crosswalk_of_their_classes():
    for target in LEVELS:
        ours, theirs = find(load("cityscapes_labels"), load(target)), find(load("cityscapes19"), load(target))
        assert (ours.mapping, ours.statuses) == (theirs.mapping, theirs.statuses)
