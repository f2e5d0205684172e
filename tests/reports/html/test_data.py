from reports.html.data import class_counts, environment, has_drives, links, shared, speed, splits


def test_splits_count_samples_and_drives(images):
    assert splits(images.split) == [
        {"name": "test", "samples": 8, "groups": 2},
        {"name": "train", "samples": 6, "groups": 3},
    ]
    assert has_drives(images.split)
    assert not has_drives([{"group": "a"}, {"group": "b"}])


def test_a_drive_or_an_image_in_two_splits_is_found():
    split = [{"sample": name, "group": name[0], "split": part} for name, part in (("a1", "train"), ("a2", "val"), ("b1", "val"))]  # fmt: skip
    assert shared(split, "group") == [("a", ["train", "val"])]
    contents = [{"sample": name, "image": content} for name, content in (("a1", "x"), ("b1", "x"), ("a2", "y"), ("left out", "y"))]  # fmt: skip
    assert shared(split, "image", contents) == [("x", ["train", "val"])]
    assert shared(split, "image", [{"sample": "a1", "image": ""}, {"sample": "b1", "image": ""}]) == []


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
