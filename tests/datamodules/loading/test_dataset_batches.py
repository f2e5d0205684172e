"""Every sample once, the same steps on any number of ranks, and a start anywhere."""

import itertools
import math

import pytest

from datamodules.loading.dataset import EvaluationBatches, SampleKey, TrainingBatches

INDICES = [10 * n for n in range(29)]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def samples(batches):
    return [[key.sample for key in batch if key.counted] for batch in batches]


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own():
    epochs = [samples(TrainingBatches(INDICES, 8, seed=3, epoch=epoch)) for epoch in (0, 1, 2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [8, 8, 8, 5]
        assert sorted(flat(batches)) == INDICES
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert epochs[1] == samples(TrainingBatches(INDICES, 8, seed=3, epoch=1))
    assert epochs[1] != samples(TrainingBatches(INDICES, 8, seed=4, epoch=1))


def test_keys_carry_the_epoch():
    assert all(
        key == SampleKey(7, key.sample, True) for batch in TrainingBatches(INDICES, 8, seed=0, epoch=7) for key in batch
    )


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("count", [24, 25, 27, 29, 35])
def test_ranks_take_slices_of_the_steps_of_one_rank(world_size, count):
    alone = samples(TrainingBatches(range(count), 12, seed=1, epoch=2))
    ranks = [
        samples(TrainingBatches(range(count), 12, seed=1, epoch=2, rank=r, world_size=world_size))
        for r in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    for number, step in enumerate(alone):
        slices = [batches[number] for batches in ranks]
        assert flat(slices) == step
        assert 1 not in map(len, slices)
        if len(step) >= 2 * world_size:
            assert max(map(len, slices)) - min(map(len, slices)) <= 1


@pytest.mark.parametrize(
    ("count", "accumulate", "world_size"), [(29, 2, 1), (29, 4, 1), (29, 2, 2), (26, 4, 2), (24, 3, 2)]
)
def test_accumulated_batches_add_up_to_the_step(count, accumulate, world_size):
    steps = samples(TrainingBatches(range(count), 24, seed=1, epoch=0))
    ranks = [
        TrainingBatches(range(count), 24, 1, 0, rank=rank, world_size=world_size, accumulate=accumulate)
        for rank in range(world_size)
    ]
    dealt = [samples(batches) for batches in ranks]
    assert {len(batches) for batches in ranks} == {len(batches) for batches in dealt} == {len(dealt[0])}
    for number, step in enumerate(steps):
        window = range(number * accumulate, min((number + 1) * accumulate, len(dealt[0])))
        assert flat(dealt[rank][batch] for batch in window for rank in range(world_size)) == step


def test_a_rank_without_a_sample_gets_two_that_are_not_counted():
    ranks = [list(TrainingBatches(range(11), 8, seed=0, epoch=0, rank=rank, world_size=4)) for rank in range(4)]
    assert [len(batches) for batches in ranks] == [2, 2, 2, 2]
    last = [batches[1] for batches in ranks]
    assert [[key.counted for key in batch] for batch in last] == [[True] * 3, [False] * 2, [False] * 2, [False] * 2]
    assert {key.sample for batch in last[1:] for key in batch} < {key.sample for key in last[0]}


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 1), (1, 2), (2, 2), (4, 1)])
def test_a_sample_that_is_left_over_joins_the_step_before(accumulate, world_size):
    alone = samples(TrainingBatches(range(33), 8, seed=1, epoch=3))
    order = flat(samples(TrainingBatches(range(33), 1, seed=1, epoch=3)))
    assert alone == [order[0:8], order[8:16], order[16:24], order[24:33]]
    ranks = [
        TrainingBatches(range(33), 8, 1, 3, rank=rank, world_size=world_size, accumulate=accumulate)
        for rank in range(world_size)
    ]
    dealt = [samples(batches) for batches in ranks]
    assert {len(batches) for batches in ranks} == {len(batches) for batches in dealt} == {4 * accumulate}
    for number, step in enumerate(alone):
        window = range(number * accumulate, (number + 1) * accumulate)
        assert flat(dealt[rank][batch] for batch in window for rank in range(world_size)) == step
    assert all(batches.joined and batches.steps == 4 for batches in ranks)
    assert not TrainingBatches(range(33), 8, 1, 3, drop_last=True).joined
    assert samples(TrainingBatches(range(33), 8, 1, 3, drop_last=True)) == [
        order[0:8],
        order[8:16],
        order[16:24],
        order[24:32],
    ]
    assert samples(TrainingBatches(range(1), 8, 1, 3)) == [[0]]  # there is none before
    assert not any(TrainingBatches(range(count), 8, 1, 3).joined for count in (1, 8, 32, 34, 40))


def test_a_batch_has_one_sample_only_where_full_steps_have_such_batches():
    for count, world_size, accumulate in itertools.product(range(2, 70), (1, 2, 3, 4), (1, 2, 4)):
        shares = world_size * accumulate
        for size in (shares, 2 * shares, 3 * shares):
            batches = [
                TrainingBatches(range(count), size, 0, 0, rank=rank, world_size=world_size, accumulate=accumulate)
                for rank in range(world_size)
            ]
            assert {len(each) for each in batches} == {len(list(each)) for each in batches} == {len(batches[0])}
            assert sorted(flat(flat(samples(each)) for each in batches)) == list(range(count))
            if size > shares:
                assert 1 not in batches[0].batch_sizes()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("indices", [INDICES, INDICES[:27]])
def test_starting_at_a_batch_gives_the_rest_of_the_epoch(accumulate, indices):
    full = list(TrainingBatches(indices, 4, seed=0, epoch=5, accumulate=accumulate))
    for start in range(len(full) + 1):
        rest = TrainingBatches(indices, 4, seed=0, epoch=5, start_batch=start, accumulate=accumulate)
        assert list(rest) == full[start:]
        assert len(rest) == len(full)


def test_the_smaller_last_step_can_be_left_out():
    batches = TrainingBatches(INDICES, 8, seed=0, epoch=0, drop_last=True, accumulate=2)
    assert [len(batch) for batch in batches] == [4] * 6
    assert (len(batches), batches.steps) == (6, 3)
    assert list(TrainingBatches(range(7), 8, seed=0, epoch=0, drop_last=True)) == []
    assert len(TrainingBatches(range(7), 8, seed=0, epoch=0, drop_last=True)) == 0


def test_batch_sizes_are_those_that_occur():
    for count, world_size, accumulate, drop_last in itertools.product(range(1, 40), (1, 2, 3), (1, 2), (False, True)):
        ranks = [
            TrainingBatches(
                range(count), 12, 0, 0, rank=rank, world_size=world_size, drop_last=drop_last, accumulate=accumulate
            )
            for rank in range(world_size)
        ]
        occurring = {len(batch) for batches in ranks for batch in samples(batches)} - {0}
        assert ranks[0].batch_sizes() == occurring


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 5, 20, 21, 29])
def test_evaluation_deals_whole_batches_and_counts_each_sample_once(world_size, count):
    alone = samples(EvaluationBatches(range(count), 5))
    assert flat(alone) == list(range(count))
    ranks = [EvaluationBatches(range(count), 5, rank, world_size) for rank in range(world_size)]
    dealt = [list(batches) for batches in ranks]
    assert (
        {len(batches) for batches in ranks}
        == {len(batches) for batches in dealt}
        == {math.ceil(len(alone) / world_size)}
    )
    for rank, batches in enumerate(dealt):
        for turn, batch in enumerate(batches):
            number = rank + turn * world_size
            counted = number < len(alone)
            assert [key.sample for key in batch] == alone[number if counted else 0]
            assert {key.counted for key in batch} == {counted}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("most", [1, 2, 4, 5, 9])
def test_an_epoch_of_fewer_steps_has_the_first_of_them(most, accumulate):
    """Of 37 samples in steps of 8 there are five, the last with 5 samples."""
    whole = TrainingBatches(range(37), 8, seed=1, epoch=2, accumulate=accumulate)
    part = TrainingBatches(range(37), 8, seed=1, epoch=2, accumulate=accumulate, most_steps=most)
    assert part.steps == min(most, 5)
    assert len(part) == len(list(part)) == min(most, 5) * accumulate
    assert list(part) == list(whole)[: len(part)]
    assert part.full_steps == whole.steps == 5
    assert part.batch_sizes() == whole.batch_sizes()
