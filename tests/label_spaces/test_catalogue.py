import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from torchvision.datasets import Cityscapes

from label_spaces.catalogue import advice, fitting, having_colours, load, names
from label_spaces.csv_files import read_rows
from label_spaces.space import LabelSpace, LabelSpaceError
from settings.run import RunSettings, validated
from tests.settings.conftest import SEGMENTS, changed

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "label_spaces" / "tables"

# IDD's labels that are easy to get wrong: level 3, 2 and 1 (AutoNUE/public-code, helpers/anue_labels.py).
HAND_PICKED = {
    "road": (0, 0, 0), "parking": (1, 1, 0), "drivable fallback": (1, 1, 0), "rail track": (3, 3, 1),
    "non-drivable fallback": (3, 3, 1), "person": (4, 4, 2), "animal": (4, 4, 2), "rider": (5, 5, 2), "car": (9, 7, 3),
    "autorickshaw": (8, 7, 3), "caravan": (12, 8, 3), "trailer": (12, 8, 3), "train": (12, 8, 3),
    "vehicle fallback": (12, 8, 3), "curb": (13, 9, 4), "guard rail": (16, 10, 4), "pole": (20, 12, 4),
    "polegroup": (20, 12, 4), "obs-str-bar-fallback": (21, 12, 4), "bridge": (23, 13, 5), "tunnel": (23, 13, 5),
    "vegetation": (24, 14, 5), "sky": (25, 15, 6), "fallback background": (25, 15, 6),
}  # fmt: skip
VOID = {"unlabeled", "ego vehicle", "rectification border", "out of roi", "license plate"}


@pytest.mark.parametrize(
    ("name", "classes", "labels"),
    [
        ("idd_level3", 26, 40),
        ("idd_level2", 16, 40),
        ("idd_level1", 7, 40),
        ("idd_lite", 7, 40),
        ("idd_cityscapes18", 18, 40),
        ("idd_cityscapes19", 19, 40),
        ("cityscapes19", 19, 35),
        ("voc21", 21, 22),
    ],
)
def test_how_many(name, classes, labels):
    space = load(name)
    assert (space.name, space.num_classes, len(space.labels)) == (name, classes, labels)
    assert len(set(space.colours)) == len(set(space.ids)) == classes
    assert not set(space.ids) & set(space.void_ids)
    assert 255 in space.void_ids
    assert name in names()


@pytest.mark.parametrize("label", HAND_PICKED)
def test_levels_of_labels(label):
    assert tuple(load(f"idd_level{level}").labels[label] for level in (3, 2, 1)) == HAND_PICKED[label]
    assert load("idd_lite").labels[label] == HAND_PICKED[label][2]


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("idd_level")])
def test_void_labels(name):
    space = load(name)
    assert {label for label, index in space.labels.items() if index == space.void} == VOID


def test_levels_form_a_tree():
    level3, level2, level1 = (load(f"idd_level{level}") for level in (3, 2, 1))
    for label, index in level3.labels.items():
        if label not in VOID:
            assert level3.levels["idd_level2"][index] == level2.labels[label]
            assert level3.levels["idd_level1"][index] == level2.levels["idd_level1"][level2.labels[label]]
            assert level3.levels["idd_level1"][index] == level1.labels[label]
    assert set(level3.levels["idd_level2"]) == set(range(16))
    assert set(level2.levels["idd_level1"]) == set(range(7))
    assert level1.levels == load("idd_lite").levels == {}


def test_level_3_by_hand():
    space = load("idd_level3")
    assert space.ids == tuple(range(26))
    assert space.classes[4] == "person + animal"
    assert space.classes[23] == "bridge + tunnel"
    assert space.classes[25] == "sky + fallback background"
    by_name = dict(zip(space.classes, space.colours, strict=True))
    assert by_name["drivable fallback"] == (250, 170, 160)  # of its first label, parking
    assert by_name["obs-str-bar-fallback"] == (169, 187, 214)
    assert by_name["sky + fallback background"] == (70, 130, 180)


def test_a_class_whose_first_colour_is_taken_gets_the_next():
    # License plate repeats car's colour and polegroup pole's, so that every derived space must still differ.
    colours = [row.colour() for row in read_rows(TABLES / "idd_labels.csv")]
    assert len(set(colours)) < len(colours)
    assert all(len(set(load(name).colours)) == load(name).num_classes for name in names())


def test_idd_lite():
    space = load("idd_lite")
    assert (space.ids, space.void_ids) == (tuple(range(7)), (255,))
    assert space.classes == (
        "drivable", "non-drivable", "living things", "vehicles", "roadside objects", "far objects", "sky"
    )  # fmt: skip
    assert space.index_of_id()[255] == space.void == 7


def test_cityscapes_18_is_cs_train_id_without_terrain():
    space = load("idd_cityscapes18")
    assert " ".join(name.replace(" ", "") for name in space.classes) == (
        "Road Sidewalk Person Rider Motorbike Bicycle Car Truck Bus Train Wall Fence TrafficSign TrafficLight Pole "
        "Building Vegetation Sky"
    )
    assert set(space.ids) == set(range(19)) - {9}
    assert space.void_ids == (9, 255)
    train_ids = load("cityscapes19")
    same = {"Motorbike": "motorcycle"}
    for name, identity in zip(space.classes, space.ids, strict=True):
        assert train_ids.classes[identity] == same.get(name, name.lower())
    assert space.labels["non-drivable fallback"] == space.labels["autorickshaw"] == space.void
    assert space.classes[space.labels["train"]] == "Train"
    nineteen = load("idd_cityscapes19")
    assert nineteen.classes[nineteen.labels["non-drivable fallback"]] == "terrain"
    assert nineteen.classes == train_ids.classes
    assert nineteen.colours == train_ids.colours


def test_cityscapes():
    space = load("cityscapes19")
    assert space.ids == tuple(range(19))
    assert [space.classes.index(name) for name in ("road", "terrain", "rider", "bicycle")] == [0, 9, 12, 18]
    assert space.labels["license plate"] == space.labels["guard rail"] == space.void
    assert space.colours[13] == (0, 0, 142)


def test_the_cityscapes_table_is_torchvisions():
    rows = read_rows(TABLES / "cityscapes_labels.csv")
    assert [
        (row.values["name"], row.integer("id"), row.integer("trainId"), row.values["category"], row.colour())
        for row in rows
    ] == [(c.name, c.id, c.train_id, c.category, c.color) for c in Cityscapes.classes]


def test_idd_takes_its_cityscapes_labels_over():
    cityscapes = {row.values["name"]: row for row in read_rows(TABLES / "cityscapes_labels.csv")}
    idd = [row for row in read_rows(TABLES / "idd_labels.csv") if row.values["name"] in cityscapes]
    assert len(idd) == 31
    for row in idd:
        same = cityscapes[row.values["name"]]
        assert row.colour() == same.colour()
        if row.values["name"] != "license plate":  # -1 there, 255 here
            assert (row.integer("csId"), row.integer("csTrainId")) == (same.integer("id"), same.integer("trainId"))


def test_voc_has_the_development_kits_palette():
    def channel(index, shift):
        """The bits shift, shift + 3, shift + 6 of an index become the highest ones of a channel."""
        return int("".join(str(index >> shift + 3 * bit & 1) for bit in range(8)), 2)

    space = load("voc21")
    assert space.colours == tuple(tuple(channel(index, shift) for shift in range(3)) for index in range(21))
    assert space.classes[15] == "person"
    assert space.colours[15] == (192, 128, 128)
    assert space.labels["border"] == space.void


def test_the_typing_error_in_the_official_table_is_mended():
    rows = {row.values["name"]: row for row in read_rows(TABLES / "idd_labels.csv")}
    assert rows["vehicle fallback"].integer("csId") == rows["train"].integer("csId") == 31
    assert [rows[name].integer("id") for name in rows] == list(range(40))
    assert {row.integer("level4Id") for row in rows.values()} == {*range(30), 255}


def test_important_classes():
    assert [load("idd_level3").classes[index] for index in load("idd_level3").important] == [
        "person + animal", "rider", "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus"
    ]  # fmt: skip
    assert load("voc21").important == load("idd_level2").important == ()


def test_a_user_adds_a_file(tmp_path):
    path = tmp_path / "lanes.csv"
    path.write_text("name,id\nlane,1\nrest,0\n")
    assert load(str(path)).classes == ("lane", "rest")
    with pytest.raises(LabelSpaceError, match=r"no label space 'lanes'; there are idd_level3, .*voc21"):
        load("lanes")


@pytest.mark.parametrize(("file", "delimiter"), [("lanes.tsv", "\t"), ("LANES.TSV", "\t"), ("lanes.csv", ";")])
def test_a_table_with_any_delimiter_is_a_label_space(tmp_path, file, delimiter):
    (tmp_path / file).write_text("name,id\nlane,1\nrest,0\n".replace(",", delimiter))
    space = load(str(tmp_path / file))
    assert (space.classes, space.ids) == (("lane", "rest"), (1, 0))
    settings = validated(RunSettings, changed({"data.label_space": f"~/{file}", **SEGMENTS}))
    assert settings.data.label_space == str(Path.home() / file)


@pytest.mark.parametrize("name", names())
def test_a_users_file_may_not_have_the_name_of_one_of_ours(tmp_path, name):
    path = tmp_path / f"{name}.CSV"
    path.write_text("name,id\nlane,1\nrest,0\n")
    with pytest.raises(
        LabelSpaceError, match=rf"{name}\.CSV has the name of a label space .* type {name} .* rename the file"
    ):
        load(str(path))


@pytest.fixture
def checkout(tmp_path):
    """A function that runs code beside a copy of label_spaces in which a user has added files."""
    shutil.copytree(ROOT / "label_spaces", tmp_path / "label_spaces", ignore=shutil.ignore_patterns("__pycache__"))
    tables = tmp_path / "label_spaces/tables"
    (tables / "lanes.csv").write_text("name,id\nlane,1\nrest,0\n")
    (tables / "lane_labels.csv").write_text("name,id,group\ndashed,0,0\nsolid,1,0\nnone,2,255\n")
    (tables / "painted.csv").write_text("name,id,colour\npaint,0,#ffffff\n")
    with (tmp_path / "label_spaces/derived.csv").open("a") as file:
        file.write("painted,lane_labels,group,,\n")
    (tmp_path / "label_spaces/crosswalks/lanes_to_painted.csv").write_text("source,target\nlane,paint\nrest,\n")

    def run(code):
        command = [
            sys.executable,
            "-c",
            f"from label_spaces.catalogue import *; from label_spaces.crosswalk import *; {code}",
        ]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_a_table_is_found_by_being_there(checkout):
    listed = checkout("print(*names()); print(load('lanes').classes, load('painted').labels)").stdout.splitlines()
    assert set(listed[0].split()) == {*names(), "lanes", "painted"}  # and not lane_labels, which painted sums up
    assert listed[1] == "('lane', 'rest') {'dashed': 0, 'solid': 0, 'none': 1}"
    assert checkout("print(find(load('lanes'), load('painted')).mapping)").stdout == "(0, 1)\n"


def test_messages_list_what_is_there(checkout):
    assert "there is no label space 'lane'; did you mean lanes? there are idd_level3, " in (
        error := checkout("load('lane')").stderr
    )
    assert "painted, lanes, voc21, cityscapes_labels, idd_labels, or give the path" in error
    error = checkout("find(load('lanes'), load('voc21'))").stderr
    assert "(there are cityscapes19_to_idd_labels, lanes_to_painted, voc21_to_idd_labels)" in error


def test_every_table_names_its_source_and_is_shipped():
    files = sorted(TABLES.iterdir())
    assert {file.stem for file in files} == {*names(), "idd_labels", "cityscapes_labels"}
    files += (TABLES.parent / "crosswalks").iterdir()
    assert all(file.suffix == ".csv" and file.read_text().startswith("# Source: ") for file in files)
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert shipped["label_spaces"] == ["*.csv", "tables/*.csv", "crosswalks/*.csv"]


def test_cityscapes_label_ids_are_a_label_space():
    """Against torchvision's copy of the official table."""
    space = load("cityscapes_labels")
    trained = [c for c in Cityscapes.classes if 0 <= c.train_id < 255]
    assert space.ids == tuple(c.id for c in sorted(trained, key=lambda c: c.train_id))
    assert space.classes == load("cityscapes19").classes
    assert set(space.legal_ids()) == {*range(34), 255}
    assert {space.index_of_id()[c.id] for c in Cityscapes.classes if c.id >= 0 and c not in trained} == {space.void}


def test_idds_label_ids_are_a_label_space():
    space, level3 = load("idd_labels"), load("idd_level3")
    for row in read_rows(TABLES / "idd_labels.csv"):
        assert space.index_of_id()[row.integer("id")] == level3.labels[row.values["name"]]
    assert (space.classes, space.levels) == (level3.classes, level3.levels)


def test_a_name_that_is_nearly_one_of_ours_is_guessed_at():
    with pytest.raises(
        LabelSpaceError, match=r"no label space 'cityscapes'; did you mean cityscapes19 or cityscapes_labels or "
    ):
        load("cityscapes")
    with pytest.raises(LabelSpaceError, match=r"did you mean voc21\?"):
        load("voc12")


@pytest.mark.parametrize(
    ("ids", "first"),
    [
        ({7, 8, 11, 26, 33}, "cityscapes_labels"),
        ({0, 5, 39}, "idd_labels"),
        ({0, 6, 255}, "idd_level1"),
        ({0, 100}, None),
    ],
)
def test_label_spaces_are_found_by_ids(ids, first):
    assert next(iter(fitting(ids)), None) == first
    assert all(ids <= set(load(name).legal_ids()) for name in fitting(ids))


def test_advice_is_chosen_from_what_was_found():
    own = LabelSpace("mask_folder", ("a", "b", "c"), void_ids=(255,))
    camvid = advice({0, 1, 2, 11}, own, "data.label_space", "data.void_ids")
    assert camvid.startswith("type data.void_ids=[11] if 11 is no class; ")
    city = advice({0, 7, 8, 11, 12, 13, 17, 23, 26, 33}, own, "data.label_space", "data.void_ids")
    assert city.startswith(
        "type data.label_space=cityscapes_labels if they are its classes, whose ids fit (also idd_labels); "
    )
    twenty = advice({0, 18, 19}, load("cityscapes19"), "predictions_label_space", "predictions_void_ids")
    assert "type predictions_void_ids=[19] if 19 is no class" in twenty
    assert "smoothed edges" in advice({0, 255, *range(3, 90, 2)}, own, "data.label_space", "data.void_ids")
    assert "ids of instances" in advice({7, 26001}, own, "data.label_space", "data.void_ids")
    assert "void_ids" not in advice({7, 26001}, own, "data.label_space", "data.void_ids")
    level2 = advice({0, 6, 9, 255}, load("idd_lite"), "data.label_space", "data.void_ids")
    assert "type data.label_space=idd_level2 if they are its classes" in level2
    only = advice(
        {0, 6, 9, 255}, load("idd_lite"), "data.label_space", "data.void_ids", lambda space: space.name == "idd_level1"
    )
    assert "are its classes" not in only


def test_label_spaces_are_found_by_colours():
    voc = load("voc21")
    assert having_colours(voc.colours) == ["voc21"]
    assert set(having_colours([(128, 64, 128), (0, 0, 0)])) >= {"cityscapes19", "idd_level3", "idd_cityscapes19"}
    assert having_colours([(1, 2, 3)]) == []


def test_a_table_of_ours_that_is_given_by_its_path_is_answered_with_its_name():
    with pytest.raises(LabelSpaceError, match="type cityscapes_labels for that one"):
        load(str(TABLES / "cityscapes_labels.csv"))
