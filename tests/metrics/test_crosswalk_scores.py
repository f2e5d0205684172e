from types import SimpleNamespace

import pytest
import torch

from label_spaces.catalogue import label_table, load
from label_spaces.crosswalk import find
from metrics.counts import remap
from metrics.crosswalk_scores import crosswalk_means, crosswalk_scores, predicted_instead
from metrics.scores import mean_scores

# Truth: person, rider, car, tree, void. Predicted: background, people (person and rider), auto and van (both car), bike
# (no class here), void.
RELATION = SimpleNamespace(targets=[(), (0, 1), (2,), (2,), ()], expressible=[0, 2], rest=[0])
COUNTS = torch.tensor(
    [
        [10, 70, 5, 0, 5, 10],
        [5, 30, 0, 5, 10, 0],
        [20, 0, 60, 40, 0, 0],
        [80, 4, 6, 10, 0, 0],
        [9, 9, 9, 9, 9, 9],
    ]
)


def test_scores_by_hand():
    assert crosswalk_scores(COUNTS, RELATION) == {
        "expressible_share": pytest.approx(220 / 370),
        "miou_expressible": pytest.approx((70 / 134 + 100 / 146) / 2),
        "miou_expressible_classes": 2,
        "miou_closed": pytest.approx((70 / 100 + 100 / 125) / 2),
        "miou_closed_classes": 2,
        # {person, rider}, {car}, {tree and all else}
        "miou_common": pytest.approx((100 / 154 + 100 / 146 + 80 / 150) / 3),
        "miou_common_classes": 3,
    }
    remapped = mean_scores(remap(COUNTS, [4, 0, 2, 2, 4]))
    assert remapped["miou"] == pytest.approx((70 / 134 + 100 / 146) / 4)
    assert remapped["miou_classes"] == 4


def test_without_a_class_for_everything_else_what_has_no_counterpart_is_void():
    found = crosswalk_scores(COUNTS, SimpleNamespace(targets=RELATION.targets, expressible=[0, 2], rest=[]))
    assert found["miou_common"] == pytest.approx((100 / 150 + 100 / 130) / 2)
    assert found["miou_common_classes"] == 2


def test_classes_that_do_not_occur_are_left_out_of_each_mean():
    counts = COUNTS.clone()
    counts[2], counts[:, 2:4] = 0, 0
    found = crosswalk_scores(counts, RELATION)
    assert (found["miou_expressible_classes"], found["miou_common_classes"]) == (1, 2)
    nothing = crosswalk_scores(torch.zeros(5, 6, dtype=torch.int64), RELATION)
    assert set(nothing.values()) == {None, 0}


def test_many_matrices_are_scored_at_once_over_the_classes_of_the_whole():
    no_cars = COUNTS.clone()
    no_cars[2], no_cars[:, 2:4] = 0, 0
    both = torch.stack([torch.stack([COUNTS, no_cars])])
    alone = crosswalk_means(both, RELATION)
    found = crosswalk_means(both, RELATION, classes_of=COUNTS)
    for name, score in crosswalk_scores(COUNTS, RELATION).items():
        if not name.endswith("_classes"):
            assert found[name].shape == (1, 2)
            assert found[name][0, 0].item() == score
    # Without cars, they are a 0 in the mean over the classes of the whole, and in no mean of its own.
    assert found["expressible_share"][0, 1].item() == alone["expressible_share"][0, 1].item() == 95 / (95 + 45 + 84)
    for name, share in (("expressible", 70 / 129), ("closed", 70 / 95)):
        assert alone[f"miou_{name}"][0, 1].item() == pytest.approx(share)
        assert found[f"miou_{name}"][0, 1].item() == pytest.approx(share / 2)
    assert alone["miou_common"][0, 1].item() == pytest.approx((100 / 144 + 80 / 114) / 2)
    assert found["miou_common"][0, 1].item() == pytest.approx((100 / 144 + 80 / 114) / 3)


def test_what_is_predicted_instead_by_hand():
    found = predicted_instead(COUNTS, [1, 3], most=2)
    assert found == {1: [(1, 0.6), (4, 0.2)], 3: [(0, 0.8), (3, 0.1)]}
    assert predicted_instead(torch.tensor([[1, 0, 3], [0, 0, 0]]), [0, 1]) == {0: [(2, 0.75), (0, 0.25)]}


# A street in IDD's labels, and what a predictor that is perfect in PASCAL VOC's classes predicts for each.
STREET = {
    "road": (500, "background"), "vegetation": (200, "background"), "autorickshaw": (60, "background"), "car": (100, "car"),
    "bus": (40, "bus"), "motorcycle": (25, "motorbike"), "bicycle": (15, "bicycle"), "person": (30, "person"),
    "rider": (20, "person"), "animal": (10, "cow"),
}  # fmt: skip


def perfect(source, target, street=STREET):
    """The scores of a predictor that predicts for each label the class in its table."""
    walk = find(load(source), load(target))
    counts = torch.zeros(walk.target.void + 1, walk.source.void + 1, dtype=torch.int64)
    for label, (pixels, word) in street.items():
        predicted = walk.source.void if word is None else walk.source.classes.index(word)
        counts[walk.target.labels[label], predicted] += pixels
    scores = crosswalk_scores(counts, walk)
    return {**scores, "miou": mean_scores(remap(counts, walk.mapping))["miou"]}


@pytest.mark.parametrize(
    ("target", "share", "expressible", "closed", "common", "miou"),
    [
        # Riders are taken for persons, which costs person + animal a third; autorickshaws are background.
        ("idd_level3", 0.22, (4 + 40 / 60) / 5, 1, 1, (4 + 40 / 60) / 9),
        # Autorickshaw + car is covered partly, and 60 pixels too many are background.
        (
            "idd_level2",
            0.28,
            (2 + 40 / 60 + 100 / 160) / 4,
            (3 + 100 / 160) / 4,
            (3 + 100 / 160 + 700 / 760) / 5,
            (2 + 40 / 60 + 100 / 160) / 7,
        ),
        # Riders are living things too.
        ("idd_level1", 0.30, (1 + 0.75) / 2, (1 + 0.75) / 2, (1 + 0.75 + 700 / 760) / 3, (1 + 0.75) / 4),
        ("idd_lite", 0.30, (1 + 0.75) / 2, (1 + 0.75) / 2, (1 + 0.75 + 700 / 760) / 3, (1 + 0.75) / 4),
        # Autorickshaw and animal are void.
        ("idd_cityscapes18", 210 / 930, (4 + 30 / 50) / 5, 1, 1, (4 + 30 / 50) / 8),
    ],
)
def test_perfect_in_voc_by_hand(target, share, expressible, closed, common, miou):
    found = perfect("voc21", target)
    assert found["expressible_share"] == pytest.approx(share)
    assert found["miou_expressible"] == pytest.approx(expressible)
    assert found["miou_closed"] == pytest.approx(closed)
    assert found["miou_common"] == pytest.approx(common)
    assert found["miou"] == pytest.approx(miou)


def test_an_animal_that_voc_lacks_is_what_partly_means():
    found = perfect("voc21", "idd_level3", STREET | {"animal": (10, "background")})
    assert found["miou_common"] == pytest.approx((4 + 50 / 60 + 760 / 770) / 6)


@pytest.mark.parametrize(
    ("target", "expressible", "common"),
    [
        # Persons are predicted and animals are not; autorickshaws have no counterpart, and cost nothing as void.
        ("idd_level3", (7 + 30 / 40) / 8, (7 + 30 / 40) / 8),
        ("idd_level2", (5 + 30 / 40 + 100 / 160) / 7, (5 + 30 / 40 + 100 / 160) / 7),
        ("idd_level1", (2 + 50 / 60 + 180 / 240) / 4, (2 + 50 / 60 + 180 / 240) / 4),
        ("idd_cityscapes19", 1, 1),
        ("idd_cityscapes18", 1, 1),
    ],
)
def test_perfect_in_cityscapes_by_hand(target, expressible, common):
    same = {
        name: (pixels, None if name in ("animal", "autorickshaw") else name) for name, (pixels, _) in STREET.items()
    }
    found = perfect("cityscapes19", target, same)
    assert found["miou_expressible"] == pytest.approx(expressible)
    assert found["miou_common"] == pytest.approx(common)


@pytest.mark.parametrize("source", ["voc21", "cityscapes19"])
@pytest.mark.parametrize("target", ["idd_level3", "idd_level2", "idd_cityscapes18", "idd_cityscapes19"])
def test_common_is_1_for_any_street_without_classes_that_are_covered_partly(source, target):
    """Every label there is, one pixel more of each: a perfect predictor names its class, or void."""
    walk, labels = find(load(source), load(target)), label_table(target).classes
    words = dict.fromkeys(labels, "background" if walk.rest else None)
    for name, link in zip(walk.source.classes, walk.links, strict=True):
        words.update({labels[label]: name for label in link.labels})
    partly = {walk.target.classes.index(name) for name in walk.named("partly")}
    street = {
        label: (10 + i, word)
        for i, (label, word) in enumerate(words.items())
        if walk.target.labels[label] not in partly
    }
    found = perfect(source, target, street)
    assert found["miou_common"] == found["miou_closed"] == 1.0
