from datamodules.errors import shortened


def test_long_lists_are_cut_and_counted():
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened([1, 2, 3, 4], 2) == "1, 2 and 2 more"
    assert shortened(["a", "b", "c"], 1, "\n  ") == "a\n  and 2 more"
    assert shortened([], 2) == ""
