import math
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from metrics.confusion import ConfusionMatrix
from metrics.counting import PIECE, confusion_matrix, count_without_waiting


def masks(shape, num_classes, dtype=torch.uint8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(0, num_classes + 1, shape, generator=generator).to(dtype) for _ in range(2))


def streets(shape, num_classes, dtype=torch.uint8, seed=0):
    """Masks whose pairs are equal for 64 pixels or more, as in real ones."""
    pixels = math.prod(shape)
    draws = torch.Generator().manual_seed(seed)
    short = (torch.randint(0, num_classes + 1, (pixels // 64 + 1,), generator=draws).to(dtype) for _ in range(2))
    return tuple(each.repeat_interleave(64)[:pixels].reshape(shape) for each in short)


def sklearn_counts(prediction, target, num_classes):
    return sklearn_metrics.confusion_matrix(
        target.flatten().numpy(), prediction.flatten().numpy(), labels=range(num_classes + 1)
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("num_classes", [1, 2, 26, 63, 64, 200])
@pytest.mark.parametrize("shape", [(1,), (33,), (2, 37, 41)])
@pytest.mark.parametrize("like", [masks, streets])
def test_equals_sklearn(like, shape, num_classes, dtype):
    prediction, target = like(shape, num_classes, dtype)
    counts = confusion_matrix(prediction, target, num_classes)
    assert counts.dtype == torch.int64
    assert np.array_equal(counts, sklearn_counts(prediction, target, num_classes))


def without_waiting(prediction, target, classes, predicted=None):
    """The way of an accelerator, on the CPU."""
    return count_without_waiting(prediction, target, classes, classes if predicted is None else predicted)


@pytest.mark.parametrize("count", [confusion_matrix, without_waiting])
@pytest.mark.parametrize(("true", "predicted"), [(3, 7), (7, 3), (26, 21)])
def test_predictions_in_another_label_space(count, true, predicted):
    draws = torch.Generator().manual_seed(true)
    target, prediction = (
        torch.randint(0, n + 1, (5000,), generator=draws, dtype=torch.uint8) for n in (true, predicted)
    )
    expected = sklearn_counts(prediction, target, max(true, predicted))[: true + 1, : predicted + 1]
    assert np.array_equal(count(prediction, target, true, predicted), expected)
    metric = ConfusionMatrix(true, predicted)
    metric.update(prediction, target)
    assert np.array_equal(metric.compute(), expected)
    if predicted < true:
        with pytest.raises(ValueError, match=f"prediction holds the index {predicted + 1}"):
            confusion_matrix(torch.tensor([predicted + 1]), torch.tensor([0]), true, predicted)


@pytest.mark.parametrize("like", [masks, streets])
@pytest.mark.parametrize("count", [confusion_matrix, without_waiting])
def test_more_than_one_piece(count, like):
    prediction, target = like((2 * PIECE + 5,), 26)
    assert np.array_equal(count(prediction, target, 26), sklearn_counts(prediction, target, 26))


def test_pieces_of_long_and_of_short_runs():
    noise, runs = masks((PIECE,), 26), streets((PIECE + 7,), 26)
    prediction, target = (torch.cat([long, short, long]) for short, long in zip(noise, runs, strict=True))
    assert np.array_equal(confusion_matrix(prediction, target, 26), sklearn_counts(prediction, target, 26))


@pytest.mark.parametrize("like", [masks, streets])
@pytest.mark.parametrize("num_classes", [255, 256, 300])
def test_more_classes_than_a_byte_holds(num_classes, like):
    prediction, target = like((20_000,), num_classes, torch.int32)
    assert np.array_equal(
        confusion_matrix(prediction, target, num_classes), sklearn_counts(prediction, target, num_classes)
    )


def test_one_pair_only():
    prediction, target = torch.full((3, PIECE), 4, dtype=torch.uint8), torch.full((3, PIECE), 5, dtype=torch.uint8)
    expected = torch.zeros(6, 6, dtype=torch.int64)
    expected[5, 4] = 3 * PIECE
    assert torch.equal(confusion_matrix(prediction, target, 5), expected)


def test_the_two_types_may_differ_and_need_not_be_contiguous():
    prediction, target = masks((4, 30, 20), 7)
    prediction = prediction.long().permute(0, 2, 1)
    target = target.permute(0, 2, 1)
    assert np.array_equal(confusion_matrix(prediction, target, 7), sklearn_counts(prediction, target, 7))


def test_inputs_stay_as_they_are():
    prediction, target = masks((50,), 5, torch.int16)
    before = prediction.clone(), target.clone()
    confusion_matrix(prediction, target, 5)
    assert torch.equal(prediction, before[0])
    assert torch.equal(target, before[1])


def test_nothing_gives_zeros():
    empty = torch.empty(0, dtype=torch.uint8)
    assert torch.equal(confusion_matrix(empty, empty, 3), torch.zeros(4, 4, dtype=torch.int64))


def test_rows_are_truth_and_void_is_last():
    counts = confusion_matrix(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]), 2)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]


# With 2 classes, truth 0 and prediction 3 would be the cell of truth 1 and prediction 0.
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (3, 0, "prediction holds the index 3"),
        (0, 255, "target holds the index 255"),
        (-1, 1, "index -1"),
        (65536, 0, "index 65536"),
    ],
)
def test_an_index_out_of_range_is_named(prediction, target, message):
    for length in (1, 40):  # also in a long run
        pair = (torch.tensor([1, index]).repeat_interleave(length) for index in (prediction, target))
        with pytest.raises(ValueError, match=message):
            confusion_matrix(*pair, 2)


@pytest.mark.parametrize(
    ("prediction", "message"), [(torch.zeros(2, 3), "float32"), (torch.zeros(3, 2, dtype=torch.uint8), r"\(3, 2\)")]
)
def test_nonsense_is_refused(prediction, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(prediction, torch.zeros(2, 3, dtype=torch.uint8), 2)


def test_deterministic_algorithms_change_nothing():
    prediction, target = masks((3, 40, 50), 26)
    torch.use_deterministic_algorithms(True)
    try:
        counts = [count(prediction.flatten(), target.flatten(), 26) for count in (confusion_matrix, without_waiting)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(np.array_equal(each, sklearn_counts(prediction, target, 26)) for each in counts)


@pytest.mark.parametrize("like", [masks, streets])
def test_memory_does_not_grow_with_the_input(like):
    def peak(pixels):
        prediction, target = like((pixels,), 26)
        tracemalloc.start()
        confusion_matrix(prediction, target, 26)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert PIECE < peak(8 * PIECE) <= 1.01 * peak(2 * PIECE)


def test_memory_without_waiting_does_not_grow_with_the_input():
    def largest_allocation(pixels):
        prediction, target = masks((pixels,), 26)
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            without_waiting(prediction, target, 26)
        return max(event.self_cpu_memory_usage for event in profile.events())

    assert largest_allocation(8 * PIECE) == largest_allocation(PIECE) >= 729 * 8


def test_without_waiting_leaves_out_what_is_out_of_range():
    counts = without_waiting(torch.tensor([3, -1, 0, 1]), torch.tensor([0, 1, 255, 1]), 2)
    assert counts.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for():
    prediction, target = masks((2, 300, 400), 26)
    on_device = prediction.cuda(), target.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        counts = confusion_matrix(*on_device, 26)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.array_equal(counts.cpu(), sklearn_counts(prediction, target, 26))
