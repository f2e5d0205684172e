from collections import Counter

import pytest

from datamodules.errors import DatasetError
from datamodules.files.image_files import find_images
from datamodules.files.images import decode_image
from datamodules.files.other_files import remedy


def test_what_is_left_out_is_counted_by_kind_with_what_to_do(tmp_path):
    for name in ("__MACOSX/x.png", "@eaDir/x.png", "a.HEIC", "b.heic", "c.cr2", "d.MOV", "Thumbs.db", "e.tar.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ignored = Counter()
    assert find_images(tmp_path, ignored) == []
    assert +ignored == {
        "folders of an operating system": 2,
        "HEIC pictures, which cannot be read": 2,
        "CR2 pictures, which cannot be read": 1,
        "videos": 1,
        "archives": 1,
        "files that are no images": 1,
    }
    assert "magick mogrify -format jpg '*.cr2'" in remedy(ignored)
    assert "ffmpeg -i VIDEO" in remedy(ignored)
    assert "Unpack archives first." in remedy(ignored)
    assert remedy(Counter()) == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n<!DOCTYPE html>", "a page of text in HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0", "a HEIC picture: convert it to JPEG or PNG"),
        (b"PK\x03\x04", "a zip archive"),
    ],
)
def test_what_a_file_is_instead_of_an_image_is_named(content, words):
    with pytest.raises(DatasetError, match=rf"^not an image, or damaged at its very beginning; it is .*{words}"):
        decode_image(content)
