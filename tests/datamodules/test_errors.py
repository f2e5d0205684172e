from datamodules.errors import Defect, grouped, shortened


def test_long_lists_are_cut_and_counted():
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened([1, 2, 3, 4], 2) == "1, 2 and 2 more"
    assert shortened(["a", "b", "c"], 1, "\n  ") == "a\n  and 2 more"
    assert shortened([], 2) == ""


def test_files_of_one_cause_share_a_line():
    unlike = [Defect("a.jpg", "has no mask a.png", "has no mask"), Defect("b.jpg", "empty")]
    assert grouped(unlike) == ["a.jpg: has no mask a.png", "b.jpg: empty"]
    alike = [Defect(f"{n}.jpg", f"has no mask {n}.png", "has no mask") for n in range(7)]
    assert grouped([*alike, unlike[1]]) == [
        "7 files (0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more): has no mask",
        "b.jpg: empty",
    ]
