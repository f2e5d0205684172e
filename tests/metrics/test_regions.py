"""Regions by size: beside a naive flood fill, matrices worked out by hand, and one process beside two."""

import numpy as np
import pytest
import torch
from torch.multiprocessing import spawn

from metrics.counting import confusion_matrices
from metrics.counts import RegionCounts
from metrics.regions import RegionConfusion, confusion_by_region, region_sizes
from metrics.slices import region_scores

C = 3  # void


def flood_filled(mask, void, bounds):
    """0 for void, else 1 and one more for each bound that the region's number of pixels reaches: the plain loop."""
    found = np.zeros(mask.shape, int)
    seen = set()
    for start in np.ndindex(mask.shape):
        if start in seen or mask[start] == void:
            continue
        region, edge = {start}, [start]
        while edge:
            y, x = edge.pop()
            around = {(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} - region
            inside = {(b, a) for b, a in around if 0 <= b < mask.shape[0] and 0 <= a < mask.shape[1]}
            alike = {place for place in inside if mask[place] == mask[start]}
            region |= alike
            edge += alike
        seen |= region
        for place in region:
            found[place] = 1 + sum(len(region) >= bound for bound in bounds)
    return found


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (13, 29), (30, 24)])
@pytest.mark.parametrize("classes", [1, 2, 3, 7])
@pytest.mark.parametrize("block", [1, 2, 5])
def test_regions_are_those_of_a_flood_fill(shape, classes, block):
    draws = np.random.default_rng([*shape, classes, block])
    coarse = draws.integers(0, classes + 1, [-(-side // block) for side in shape], dtype=np.uint8)
    mask = coarse.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]  # a part of an array, as a cache may give
    for bounds in ((2, 5), (4, 60), (1, 10**9)):
        found = region_sizes(mask, classes, bounds)
        assert (found.dtype, found.shape) == (np.uint8, shape)
        np.testing.assert_array_equal(found, flood_filled(mask, classes, bounds))


@pytest.mark.parametrize(
    ("mask", "bounds", "expected"),
    [
        # Corners touch: five pixels of 0, four of 1.
        (["010", "101", "010"], (5, 6), ["212", "121", "212"]),
        # The end of a row and the beginning of the next do not: 1 has three regions of one pixel, 0 has one of six.
        (["001", "100", "001"], (2, 6), ["331", "133", "331"]),
        # 0 lies on both sides of void: regions of four and of two; void has no size.
        (["00310", "00310"], (3, 9), ["22011", "22011"]),
        # One region that is met as three: the tines of a comb, joined in the last row.
        (["01010", "01010", "00000"], (3, 11), ["31313", "31313", "33333"]),
    ],
)
def test_regions_worked_out_by_hand(mask, bounds, expected):
    mask, expected = (np.array([list(row) for row in rows]).astype(np.uint8) for rows in (mask, expected))
    np.testing.assert_array_equal(region_sizes(mask, C, bounds), expected)


def test_the_bounds_are_cocos():
    mask = np.full((200, 260), C, np.uint8)
    mask[0:31, 0:33] = 0  # 1023 pixels
    mask[40:72, 0:32] = 0  # 1024
    mask[0:97, 40:135] = 0  # 9215
    mask[100:196, 40:136] = 0  # 9216
    mask[0:200, 200:201] = 1
    found = region_sizes(mask, C)
    assert [int(found[at]) for at in ((0, 0), (40, 0), (0, 40), (100, 40), (0, 200), (0, 150))] == [1, 2, 2, 3, 1, 0]


# A frame of 4×6: a sky of seven pixels and another of one, a car of five, a road of ten, and one of void.
TRUTH = np.array([[0, 0, 0, 0, 2, 0], [0, 0, 0, 2, 2, 3], [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 1, 1]], np.uint8)
PREDICTED = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 0], [1, 1, 1, 3, 2, 1], [1, 1, 2, 1, 1, 1]], np.uint8)


def hand_made():
    """By size the counts of TRUTH by PREDICTED: small is below 3, medium below 7."""
    small, medium, large = np.zeros((3, C + 1, C + 1), int)
    small[0, 1] = 1  # the sky of one pixel, called road
    medium[2] = [0, 3, 2, 0]  # the car of five
    large[0] = [6, 1, 0, 0]
    large[1] = [0, 8, 1, 1]  # the road of ten, once void
    return np.stack([small, medium, large])


def test_matrices_worked_out_by_hand():
    target, prediction = (
        torch.from_numpy(np.stack([TRUTH, np.full_like(TRUTH, C)])),
        torch.from_numpy(PREDICTED).expand(2, 4, 6),
    )
    region = torch.from_numpy(np.stack([region_sizes(mask, C, (3, 7)) for mask in target.numpy()]))
    matrices = confusion_by_region(prediction, target, region, C, C)
    metric = RegionConfusion(C, C)
    metric.update(matrices)
    found = metric.compute()
    assert found.matrices.tolist() == hand_made().tolist()
    assert found.frames.tolist() == [1, 1, 1]  # the second frame has none
    assert torch.equal(matrices.sum(1), confusion_matrices(prediction, target, C))
    metric.update(matrices)
    metric.update(matrices[:0])
    assert metric.compute().matrices.tolist() == (2 * hand_made()).tolist()
    assert found.matrices.tolist() == hand_made().tolist()
    metric.reset()
    assert not metric.counts.any()


def test_scores_worked_out_by_hand():
    rows = region_scores(RegionCounts(hand_made(), np.array([1, 2, 1])))
    assert [(row["slice"], row["value"], row["n_samples"], row["support"]) for row in rows] == [
        ("region_size", "small", 1, 1),
        ("region_size", "medium", 2, 5),
        ("region_size", "large", 1, 17),
    ]
    assert [row["accuracy"] for row in rows] == pytest.approx([0, 2 / 5, 14 / 17])
    # Of these pixels alone: small sky 0/1 and road 0/1; car 2/5 and road 0/3; sky 6/7, road 8/(10+1), car 0/1.
    assert [row["miou"] for row in rows] == pytest.approx([0, (2 / 5 + 0) / 2, (6 / 7 + 8 / 11 + 0) / 3])
    assert [row["miou_classes"] for row in rows] == [2, 2, 3]
    assert [row["value"] for row in region_scores(RegionCounts(hand_made(), np.array([0, 2, 0])))] == ["medium"]


def random_batch(seed, classes, predicted, size=2):
    draws = torch.Generator().manual_seed(seed)
    target, prediction, region = (
        torch.randint(0, most + 1, (size, 37, 41), generator=draws, dtype=torch.uint8)
        for most in (classes, predicted, 3)
    )
    return prediction, target, torch.where(target == classes, 0, region.clamp(min=1))


@pytest.mark.parametrize(("classes", "predicted"), [(3, 3), (26, 21), (254, 254), (7, 254), (254, 2)])
def test_each_size_has_its_own_counts_in_any_label_space(classes, predicted):
    prediction, target, region = random_batch(classes, classes, predicted)
    found = confusion_by_region(prediction, target, region, classes, predicted)
    assert (found.dtype, found.shape) == (torch.int64, (2, 4, classes + 1, predicted + 1))
    for frame in range(2):
        for size in range(4):
            chosen = region[frame] == size
            expected = np.zeros((classes + 1, predicted + 1), int)
            np.add.at(expected, (target[frame][chosen], prediction[frame][chosen]), 1)
            np.testing.assert_array_equal(found[frame, size], expected)
    assert torch.equal(found.sum(1), confusion_matrices(prediction, target, classes, predicted))


def test_truth_that_is_no_class_is_not_taken_for_another_size():
    target = torch.tensor([[[C + 1, 0]]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="target holds the index"):
        confusion_by_region(torch.zeros_like(target), target, torch.ones_like(target), C, C)


def count_on_rank(rank, folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    metric = RegionConfusion(5, 4)
    for seed in range(rank, 3, 2):
        metric.update(confusion_by_region(*random_batch(seed, 5, 4), 5, 4))
    np.savez(f"{folder}/{rank}.npz", **metric.compute()._asdict())
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_count_as_one(tmp_path):
    spawn(count_on_rank, (str(tmp_path),), nprocs=2)
    prediction, target, region = (
        torch.cat(part) for part in zip(*(random_batch(seed, 5, 4) for seed in range(3)), strict=True)
    )
    expected = np.stack([np.zeros((6, 5), int)] * 3)
    known = region > 0
    np.add.at(expected, (region[known].long() - 1, target[known].long(), prediction[known].long()), 1)
    for rank in range(2):
        found = np.load(tmp_path / f"{rank}.npz")
        np.testing.assert_array_equal(found["matrices"], expected)
        assert found["frames"].tolist() == [6, 6, 6]
