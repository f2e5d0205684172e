from reports.html.data import (
    class_counts,
    environment,
    has_drives,
    links,
    repeated,
    shared,
    sizes,
    slices,
    speed,
    splits,
)


def test_splits_count_samples_and_drives(images):
    assert splits(images.split) == [
        {"name": "train", "samples": 6, "groups": 3},
        {"name": "test", "samples": 8, "groups": 2},
    ]
    assert has_drives(images.split)
    assert not has_drives([{"group": "a"}, {"group": "b"}])


def test_a_drive_or_an_image_in_two_splits_is_found():
    split = [{"sample": name, "group": name[0], "split": part} for name, part in (("a1", "train"), ("a2", "val"), ("b1", "val"))]  # fmt: skip
    assert shared(split, "group") == [("a", ["train", "val"])]
    contents = [{"sample": name, "image": content} for name, content in (("a1", "x"), ("b1", "x"), ("a2", "y"), ("left out", "y"))]  # fmt: skip
    assert shared(split, "image", contents) == [("x", ["train", "val"])]
    assert shared(split, "image", [{"sample": "a1", "image": ""}, {"sample": "b1", "image": ""}]) == []


def test_copies_and_those_whose_truth_differs_are_found():
    split = [{"sample": name, "target": name[0]} for name in ("a1", "a2", "b1", "b2", "c1")]
    contents = [{"sample": name, "image": image, "truth": truth} for name, image, truth in (
        ("a1", "x", ""), ("a2", "x", ""), ("b1", "y", "p"), ("b2", "y", "q"), ("c1", "x", ""), ("left out", "z", ""), ("left out 2", "z", ""),
    )]  # fmt: skip
    assert repeated(split, contents) == (3, ["a1", "a2", "b1", "b2", "c1"])
    assert repeated(split, contents[:2]) == (1, [])
    assert repeated(split, []) == (0, [])


def test_the_commonest_sizes_come_first(images):
    assert sizes(images.sizes) == [
        {"name": "train", "sizes": 2, "commonest": [("8x8", 4), ("9x8", 2)]},
        {"name": "test", "sizes": 1, "commonest": [("8x8", 8)]},
    ]
    many = [{"split": "train", "size": f"{i}x9", "samples": str(i)} for i in range(1, 9)]
    (found,) = sizes(many)
    assert (found["sizes"], found["commonest"][0], len(found["commonest"])) == (8, ("8x9", 8), 5)


def test_slices_are_numbers_and_what_is_empty_is_none():
    row = {"slice": "drive", "value": "007", "n_samples": "3", "miou": "5e-05", "safe_miou": ""}
    assert slices([row]) == [{"slice": "drive", "value": "007", "n_samples": 3, "miou": 5e-5, "safe_miou": None}]


def test_counts_of_classes_have_their_share_of_the_split(images):
    first, second, third = class_counts(images.class_counts)
    assert [each["counts"]["train"] for each in (first, second, third)] == [0, 10, 20]
    assert [each["shares"]["train"] for each in (first, second, third)] == [0, 1 / 3, 2 / 3]
    assert class_counts([{"name": "a", "train": "0"}])[0]["shares"] == {"train": 0}
    assert class_counts([]) == []


def test_speed_by_hand(images):
    found = speed(images, limited=False)
    assert (found["epochs"], found["training"], found["epoch"], found["training_rate"]) == (3, 9, 3, 2)  # of 6 samples
    assert (found["evaluation"], found["evaluation_rate"]) == (10, 0.8)
    assert speed(images, limited=True)["training_rate"] is None


def test_the_environment_without_what_stands_elsewhere(images):
    assert environment(images) == [("python", "3"), ("git commit", "abc123"), ("weights", "requested auto, used none")]


def test_links_lead_to_files_that_exist(images):
    for (_, found), folder in zip(links(images), (images.folder, images.folder), strict=True):
        assert found
        assert all((folder / address).exists() for _, address in found)
