from metrics.common_classes import common_classes


def test_one_source_by_hand():
    assert common_classes([([(0,), (1,), (0, 1), (2,)], [])], 4) == ([[0, 0, 0, 1]], [0, 0, 1, 2], 2)
    # Everything has a counterpart: "everything else" has no truth, and is void as before.
    assert common_classes([([(), (0,), (1,)], [0])], 2) == ([[2, 0, 1]], [0, 1], 2)
    assert common_classes([([(), ()], [])], 2) == ([[0, 0]], [0, 0], 0)


def test_several_sources_merge_what_any_of_them_merges():
    same = [(0,), (1,), (2,), (3,)], []
    # The second says one word for classes 0 and 1, and nothing for 3: for all, these are one class, and 3 is none.
    second = [(0, 1), (2,)], []
    assert common_classes([same, second], 4) == ([[0, 0, 1, 2], [0, 1]], [0, 0, 1, 2], 2)
    # A third that merges 1 and 2 leaves a single class: what is merged is merged through others too.
    third = [(1, 2), (0,)], []
    assert common_classes([same, second, third], 4) == ([[0, 0, 0, 1], [0, 0], [0, 0]], [0, 0, 0, 1], 1)


def test_a_background_is_everything_that_its_own_space_does_not_name():
    same = [(0,), (1,), (2,)], []
    voc = [(), (1,)], [0]  # background; class 1
    assert common_classes([same, voc], 3) == ([[0, 1, 0], [0, 1]], [0, 1, 0], 2)
