import pytest

from label_spaces.catalogue import load
from label_spaces.space import NO_ID, LabelSpace, LabelSpaceError, names_beside, same_names, similar_names
from tests.names import draw


def test_void_follows_the_last_class():
    space = LabelSpace("lights", ("red", "green"))
    assert (space.num_classes, space.void) == (2, 2)
    assert space.classes.index("green") == 1


@pytest.mark.parametrize(
    ("space", "ids"),
    [
        (LabelSpace("plain", ("a", "b")), (0, 1, 255)),
        (LabelSpace("void has an id", ("a", "b"), ids=(7, 3), void_ids=(0, 9)), (7, 3, 9)),
        (LabelSpace("255 is taken", ("a", "b"), ids=(255, 254)), (255, 254, 253)),
        (load("idd_cityscapes18"), (*load("idd_cityscapes18").ids, 255)),
    ],
)
def test_each_class_and_void_have_a_number_that_is_read_back(space, ids):
    assert space.id_of_index() == ids
    known = space.index_of_id()
    assert [known[identity] for identity in ids[:-1]] == list(range(space.num_classes))
    assert known[ids[-1]] in ((space.void,) if space.void_ids else (NO_ID,))


@pytest.mark.parametrize(
    ("classes", "colours", "named"),
    [(("car", "bus", "car"), (), "repeat: car"), (("car", "bus"), ((0, 0, 0),), "1 colours for 2 classes")],
)
def test_nonsense_is_refused_by_name(classes, colours, named):
    with pytest.raises(LabelSpaceError, match=named):
        LabelSpace("x", classes, colours)


@pytest.mark.parametrize("seed", range(100))
def test_classes_are_kept_apart_from_other_keys_and_only_where_they_meet(seed):
    classes, own = draw(seed), draw(500 + seed)
    keys = names_beside(own, classes)
    assert len({*own, *keys}) == len(own) + len(classes)
    for name, key in zip(classes, keys, strict=True):
        assert key == name if name not in own else key.startswith(f"{name} (class)")


def test_a_class_that_is_called_as_a_key_is_marked():
    assert names_beside(["file"], ["file", "car", "file (class)"]) == ["file (class) (class)", "car", "file (class)"]


def test_names_that_are_one_to_the_reader_are_found():
    once, twice = "caf\u00e9", "cafe\u0301"
    assert same_names([once, "cafe", twice, "Caf\u00e9", once]) == [[once, twice]]
    assert similar_names(["Car", "bus", "car", "bus stop", "bus  stop ", "\uff42\uff55\uff53"]) == [
        ["Car", "car"], ["bus", "\uff42\uff55\uff53"], ["bus stop", "bus  stop "],
    ]  # fmt: skip
    assert similar_names(["car", "cart", "a b", "ab"]) == []


FRUIT = LabelSpace(
    "fruit", ("fig", "plum", "pear"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (4, 5, 6), (9,), ((7, 7, 7),), {8: 2},
    {"fig": 0, "plum": 1, "pear": 2, "stone": 3}, {}, (1, 2),
)  # fmt: skip


def test_ids_of_no_class_are_added_and_classes_that_have_them_left_out():
    more = FRUIT.with_void([11])
    assert (more.classes, more.void_ids, more.index_of_id()[11]) == (FRUIT.classes, (9, 11), 3)
    less = FRUIT.with_void([5])
    assert (less.classes, less.ids, less.void_ids, less.important) == (("fig", "pear"), (4, 6), (5, 9), (1,))
    assert (less.colours, less.void_colours) == (((1, 1, 1), (3, 3, 3)), ((7, 7, 7), (2, 2, 2)))
    assert less.labels == {"fig": 0, "plum": 2, "pear": 1, "stone": 2}
    assert [less.index_of_id()[identity] for identity in (4, 5, 6, 8, 9)] == [0, 2, 1, 1, 2]
    plain = LabelSpace("plain", ("void", "sky", "car")).with_void([0])
    assert (plain.classes, plain.ids, plain.index_of_id()[:3]) == (("sky", "car"), (1, 2), (2, 0, 1))


def test_classes_that_cannot_be_left_out_are_named():
    with pytest.raises(LabelSpaceError, match="road of idd_level3 cannot be no class: its coarser levels need them"):
        load("idd_level3").with_void([0])
    with pytest.raises(LabelSpaceError, match="no class would be left"):
        LabelSpace("one", ("a",)).with_void([0])
