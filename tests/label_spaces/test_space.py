import pytest

from label_spaces.catalogue import load
from label_spaces.space import NO_ID, LabelSpace, LabelSpaceError


def test_void_follows_the_last_class():
    space = LabelSpace("lights", ("red", "green"))
    assert (space.num_classes, space.void) == (2, 2)
    assert space.index("green") == 1


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


def test_an_unknown_class_is_named():
    with pytest.raises(LabelSpaceError, match="no class 'tram'"):
        LabelSpace("x", ("car",)).index("tram")
