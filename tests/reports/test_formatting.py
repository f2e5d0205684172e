from reports.formatting import with_interval


def test_scores_with_and_without_an_interval():
    assert with_interval(0.3476, [0.30149, 1.0]) == "0.348 [0.301, 1.000]"
    assert with_interval(0.0, None) == "0.000"
    assert with_interval(None, None) == "undefined"
