import pytest

from label_spaces.space import LabelSpace, LabelSpaceError


def test_void_follows_the_last_class():
    space = LabelSpace("lights", ("red", "green"))
    assert (space.num_classes, space.void) == (2, 2)
    assert space.index("green") == 1


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
