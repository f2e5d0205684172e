"""The synthetic dataset: its layout, its bytes, and several processes that want it at once."""

import hashlib
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from datamodules.crop_rules import CROP_CLASSES, CropRules, usable_objects
from datamodules.files.frame_pairs import find_frames
from datamodules.files.idd_polygons import polygon_file, read_annotation
from datamodules.files.masks import draw_mask
from datamodules.synthetic.generate import ensure, generate, write_drive
from label_spaces.catalogue import load

STUFF = {
    "sky", "road", "sidewalk", "curb", "drivable fallback", "non-drivable fallback", "vegetation", "building", "wall",
    "fence", "pole", "billboard",
}  # fmt: skip


def digest(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("streets")
    generate(root, seed=0, drives=10, frames_per_drive=2)
    return root


def contents(root):
    return [json.loads(path.read_text()) for path in sorted((root / "gtFine").rglob("*.json"))]


def test_the_layout_is_idds(streets):
    frames = find_frames(streets)
    assert len(frames) == 20
    assert len({frame.group for frame in frames}) == 10
    for frame, content in zip(frames, contents(streets), strict=True):
        with Image.open(streets / frame.name) as image:
            assert image.size == (content["imgWidth"], content["imgHeight"])
        assert set(content["objects"][0]) == {"date", "deleted", "draw", "id", "label", "polygon", "user", "verified"}
    sizes = Counter((content["imgWidth"], content["imgHeight"]) for content in contents(streets))
    assert sizes == {(640, 360): 14, (640, 480): 6}


def test_every_kind_of_road_user_occurs_and_no_label_is_strange(streets):
    labels = {thing["label"] for content in contents(streets) for thing in content["objects"]}
    assert set(CROP_CLASSES) <= labels
    assert {label.removesuffix("group") for label in labels} <= STUFF | set(CROP_CLASSES)


def test_it_holds_what_annotators_leave_behind(streets):
    objects = [thing for content in contents(streets) for thing in content["objects"]]
    assert sum(thing["deleted"] for thing in objects) / len(objects) == pytest.approx(0.13, abs=0.01)
    assert any(len(thing["polygon"]) < 3 for thing in objects)
    assert any(min(x for x, _ in thing["polygon"]) < 0 for thing in objects)
    assert any(max(y for _, y in thing["polygon"]) > 480 for thing in objects)


def test_groups_are_outlined_and_drawn_as_their_kind_and_never_become_crops(streets):
    groups = Counter(thing["label"] for content in contents(streets) for thing in content["objects"])
    groups = {label: count for label, count in groups.items() if label.endswith("group")}
    assert len(groups) >= 4
    assert "persongroup" in groups
    space = load("idd_level3")
    for frame in find_frames(streets):
        annotation = read_annotation(polygon_file(streets, frame.name))
        single = tuple(replace(thing, label=thing.label.removesuffix("group")) for thing in annotation.objects)
        assert np.array_equal(draw_mask(annotation, space), draw_mask(replace(annotation, objects=single), space))
        assert not any(thing.label.endswith("group") for thing in usable_objects(annotation, CropRules()))


def test_deleted_objects_and_stray_clicks_are_neither_drawn_nor_cropped(streets):
    for frame in find_frames(streets):
        path = polygon_file(streets, frame.name)
        listed = json.loads(path.read_text())["objects"]
        kept = [i for i, thing in enumerate(listed) if not thing["deleted"] and len(thing["polygon"]) > 2]
        assert [thing.index for thing in read_annotation(path).objects] == kept


def test_frames_of_a_drive_resemble_each_other_more_than_other_drives(streets):
    thumbnails: dict[str, list[np.ndarray]] = {}
    for frame in find_frames(streets):
        with Image.open(streets / frame.name) as image:
            thumbnails.setdefault(frame.group, []).append(np.asarray(image.resize((16, 16)), dtype=float))
    drives = list(thumbnails.values())
    within = [np.abs(first - second).mean() for first, second in drives]
    between = [np.abs(one[0] - other[0]).mean() for one in drives for other in drives if one is not other]
    assert np.mean(within) < 0.5 * np.mean(between)


def test_outlines_lie_on_what_they_name(streets):
    """The colour changes more along an outline than along the same outline moved aside."""
    change: dict[int, list[float]] = {0: [], 14: []}
    for frame in find_frames(streets):
        with Image.open(streets / frame.name) as opened:
            image = np.asarray(opened, dtype=float)
        step = np.abs(np.diff(image, axis=1)).sum(axis=2)
        for thing in read_annotation(polygon_file(streets, frame.name)).objects[-6:]:
            for x, y in thing.polygon.astype(int):
                if 20 < x < image.shape[1] - 20 and 0 <= y < image.shape[0]:
                    for shift, changes in change.items():
                        changes.append(step[y, x + shift - 3 : x + shift + 3].max())
    assert np.median(change[0]) > 1.3 * np.median(change[14])


def test_the_same_request_gives_the_same_bytes_in_one_process_and_in_many(tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.synthetic.generate.SMALL", 2)  # so that a pool draws the first
    generate(tmp_path / "pool", seed=5, drives=3, frames_per_drive=1)
    for number in (0, 2):
        write_drive(tmp_path / "alone", 5, number, 3, 1)
    pool, alone = digest(tmp_path / "pool"), digest(tmp_path / "alone")
    assert len(pool) == 3 * 2
    assert len(alone) == 2 * 2
    assert alone.items() <= pool.items()
    write_drive(tmp_path / "other", 6, 0, 3, 1)
    assert not digest(tmp_path / "other").items() & pool.items()


def _ensure(root):
    return ensure(root, seed=3, drives=2, frames_per_drive=1)


def test_processes_that_want_it_at_once_get_the_same_whole_folder(tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        folders = set(pool.map(_ensure, [tmp_path] * 3))
    assert len(folders) == 1
    assert len(find_frames(folders.pop())) == 2
    assert not list(tmp_path.glob(".*-*"))


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path, monkeypatch):
    def meanwhile(temporary, **_):  # as after this process was stopped for longer than its lease
        (tmp_path / temporary.name.split(".")[1]).mkdir()
        (tmp_path / temporary.name.split(".")[1] / "theirs").touch()

    monkeypatch.setattr("datamodules.synthetic.generate.generate", meanwhile)
    folder = _ensure(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert [*tmp_path.iterdir()] == [folder]


def test_what_an_interrupted_attempt_left_is_cleared_away(tmp_path):
    folder = _ensure(tmp_path / "first")
    left = tmp_path / "second" / f".{folder.name}.abc.tmp"
    left.mkdir(parents=True)
    (left / "half").touch()
    assert _ensure(tmp_path / "second").name == folder.name
    assert not left.exists()
    assert digest(tmp_path / "second" / folder.name) == digest(folder)
