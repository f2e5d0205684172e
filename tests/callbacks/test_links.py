from callbacks.links import link


def test_a_link_replaces_what_was_there_and_outlives_its_source(tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").unlink()
    assert (tmp_path / "b").read_text() == "new"


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("callbacks.links.os.link", refuse)
    (tmp_path / "a").write_text("new")
    link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"
