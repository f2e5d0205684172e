"""What a folder of masks may hold beside plain ids: orientation, few bits, binary masks, arrays, ids of no class."""

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.mask_folder import MaskFolderDataModule
from label_spaces.catalogue import load
from tests.datamodules.files.test_images_bit_depth import png
from tests.datamodules.files.test_mask_files import STORED, turned, upright

SIZE = (24, 36)
NO_TURN = Image.Exif()


def ids_of(number, classes=2):
    """Bands of classes whose edges differ from frame to frame."""
    rows = (np.arange(SIZE[0]) + number % 3) * classes // (SIZE[0] + 2)
    mask = np.repeat(rows[:, None], SIZE[1], axis=1).astype(np.uint8)
    mask[:4, : 5 + number % 7] = classes - 1  # not symmetrical
    return mask


def make_root(root, ids=ids_of, exif=(NO_TURN, NO_TURN), count=10, save=None):
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(count):
        mask = ids(number)
        pixels = np.stack([mask * 9, 255 - mask, np.full_like(mask, number)], -1)
        Image.fromarray(pixels).save(root / f"images/{number}.png", exif=exif[0])
        if save is None:
            Image.fromarray(mask).save(root / f"masks/{number}.png", exif=exif[1])
        else:
            save(root / f"masks/{number}", mask)
    return root


@pytest.fixture
def make(settings):
    def make(root, **keys):
        fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
        defaults = {"root": str(root), "split": fractions, "split_by": "sample", "classes": ["road", "sky"]}
        module = MaskFolderDataModule(settings(**defaults | keys))
        module.prepare_training()
        return module

    return make


def fed(module):
    """Of every frame its mask and its red channel as they are fed, by its number."""
    found = {}
    for part in ("train", "val", "test"):
        for batch in module.evaluation_dataloader(part):
            for index, image, mask in zip(batch["index"], batch["image"], batch["target"], strict=True):
                number = int(module.names[index].split("/")[1].split(".")[0])
                found[number] = mask.numpy(), image[0].numpy()
    return found


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("orientation", STORED)
def test_an_image_and_its_mask_are_turned_alike(tmp_path, make, orientation, cache):
    root = make_root(tmp_path / "mine", exif=(turned(orientation), turned(orientation)))
    size = upright(ids_of(0), orientation).shape
    module = make(root, image_size=size, cache=cache)
    assert set(module.sizes.values()) == {size}
    assert not any("EXIF" in note for note in module.notes)
    for number, (mask, red) in fed(module).items():
        np.testing.assert_array_equal(mask, upright(ids_of(number), orientation))
        np.testing.assert_array_equal(red, upright(ids_of(number) * 9, orientation))


def test_an_image_that_is_turned_alone_is_named(tmp_path, make):
    module = make(make_root(tmp_path / "flipped", exif=(turned(3), NO_TURN)))
    notes = [note for note in module.notes if "EXIF" in note]
    assert len(notes) == 1
    assert notes[0].startswith(
        "10 images are turned by their EXIF orientation, and their masks or polygons, which have none, are not, such as images/"
    )
    with pytest.raises(
        DatasetError, match=r"the image has 24×36 pixels, once turned by its EXIF orientation 6, its mask 36×24"
    ):
        make(make_root(tmp_path / "upright", exif=(turned(6), NO_TURN)))


def test_images_of_12_bit_are_asked_about_and_then_scaled(tmp_path, make):
    root = make_root(tmp_path / "mine")
    greys = {}
    for number in range(10):
        greys[number] = np.random.default_rng(number).integers(0, 4096, SIZE)
        greys[number][0, 0] = 4095
        (root / f"images/{number}.png").write_bytes(png(greys[number]))
    with pytest.raises(DatasetError, match=r"10 of 10 frames.*\n.*type data\.bit_depth=12 where white is 4095"):
        make(root)
    for cache in (False, True):
        for number, (_, red) in fed(make(root, bit_depth=12, image_size=SIZE, cache=cache)).items():
            np.testing.assert_array_equal(red, np.rint(greys[number] / 4095 * 255))
    with pytest.raises(DatasetError, match=r"data\.bit_depth=12"):  # what was remembered is of another key
        make(root)


def binary(number):
    return ids_of(number) * 255


def test_two_classes_may_be_0_and_255_and_that_is_noted(tmp_path, make):
    root = make_root(tmp_path / "mine", binary)
    module = make(root, image_size=SIZE)
    assert (
        "Masks hold 0 and 255 only, which are read as road and sky; type data.void_ids=[255] if 255 is no class."
        in module.notes
    )
    assert module.label_space.id_of_index()[:2] == (0, 255)
    for number, (mask, _) in fed(module).items():
        np.testing.assert_array_equal(mask, ids_of(number))
    void = make(root, image_size=SIZE, void_ids=[255])
    for number, (mask, _) in fed(void).items():
        np.testing.assert_array_equal(mask, ids_of(number) * 2)
    assert "No pixel of train is sky." in void.notes


def test_a_mask_of_one_class_only_is_no_reason_to_leave_a_binary_frame_out(tmp_path, make):
    module = make(make_root(tmp_path / "mine", lambda n: binary(n) if n else np.full(SIZE, 255, np.uint8)))
    assert len(module.table) == 10


def test_255_stays_no_class_where_1_occurs_or_there_are_more_classes(tmp_path, make):
    def mostly_binary(number):
        return binary(number) if number else ids_of(number)

    module = make(make_root(tmp_path / "mine", mostly_binary), image_size=SIZE)
    assert not any("0 and 255" in note for note in module.notes)
    assert fed(module)[1][0].max() == module.label_space.void
    three = make(make_root(tmp_path / "three", binary), classes=["a", "b", "c"])
    assert not any("0 and 255" in note for note in three.notes)


def test_a_table_names_the_ids_of_a_binary_mask(tmp_path, make):
    (tmp_path / "binary.csv").write_text("name,id\nroad,0\nsky,255\n")
    module = make(
        make_root(tmp_path / "mine", binary), classes=None, label_space=str(tmp_path / "binary.csv"), image_size=SIZE
    )
    for number, (mask, _) in fed(module).items():
        np.testing.assert_array_equal(mask, ids_of(number))


def test_arrays_are_masks(tmp_path, make):
    root = make_root(tmp_path / "mine", save=lambda path, mask: np.save(f"{path}.npy", mask.astype(np.int64)))
    module = make(root, image_size=SIZE)
    for number, (mask, _) in fed(module).items():
        np.testing.assert_array_equal(mask, ids_of(number))


def test_an_id_of_no_class_is_typed(tmp_path, make):
    """As CamVid's: eleven classes, and 11 where there is none."""
    names = [f"class{i}" for i in range(11)]
    root = make_root(tmp_path / "mine", lambda number: ids_of(number, 12))
    with pytest.raises(
        DatasetError,
        match=r"10 of 10 frames .* cannot be used; type data\.void_ids=\[11\] if 11 is no class; .*FILE\.csv",
    ) as refusal:
        make(root, classes=names)
    assert "on_corrupt=skip" not in str(refusal.value)
    with pytest.raises(DatasetError, match=r"10 of 10 frames .* cannot be used; type data\.void_ids=\[11\]"):
        make(root, classes=names, on_corrupt="skip")
    module = make(root, classes=names, void_ids=[11], image_size=SIZE)
    assert module.label_space.classes == tuple(names)
    for number, (mask, _) in fed(module).items():
        np.testing.assert_array_equal(mask, ids_of(number, 12))


CITYSCAPES = np.array([7, 8, 11, 21, 23, 26, 0, 33], np.uint8)


def test_label_ids_of_cityscapes_are_recognised(tmp_path, make):
    root = make_root(tmp_path / "mine", lambda number: CITYSCAPES[ids_of(number, 8)])
    with pytest.raises(
        DatasetError,
        match=r"type data\.label_space=cityscapes_labels if they are its classes, whose ids fit \(also idd_labels\)",
    ):
        make(root, classes=None, label_space="cityscapes19")
    module = make(root, classes=None, label_space="cityscapes_labels", image_size=SIZE)
    classes = load("cityscapes19").classes
    expected = [classes.index(name) for name in ("road", "sidewalk", "building", "vegetation", "sky", "car")] + [
        19,
        classes.index("bicycle"),
    ]
    for number, (mask, _) in fed(module).items():
        np.testing.assert_array_equal(mask, np.array(expected)[ids_of(number, 8)])


def test_a_file_of_classes_may_come_from_another_tool(tmp_path, make):
    colours = np.array([[128, 64, 128], [70, 130, 180], [0, 0, 0]], np.uint8)
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,128,64,128\nsky,70,130,180\nVoid,0,0,0\n")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\nsky:70,130,180::\n"
    )
    root = make_root(
        tmp_path / "mine",
        lambda number: ids_of(number, 3),
        save=lambda path, mask: Image.fromarray(colours[mask]).save(f"{path}.png"),
    )
    three = make(root, classes=None, label_space=str(tmp_path / "class_dict.csv"), image_size=SIZE)
    assert (three.label_space.classes, fed(three)[4][0].max()) == (("road", "sky", "Void"), 2)
    assert "Void is a class like others; type data.void_ids=[2] if it is no class." in three.notes
    for file, void in (("class_dict.csv", 2), ("labelmap.txt", 0)):
        two = make(root, classes=None, label_space=str(tmp_path / file), void_ids=[void], image_size=SIZE)
        assert two.label_space.classes == ("road", "sky")
        for number, (mask, _) in fed(two).items():
            np.testing.assert_array_equal(mask, ids_of(number, 3))


def test_hashes_of_the_files_are_known(tmp_path, make):
    root = make_root(tmp_path / "mine")
    before = make(root).contents
    Image.fromarray(1 - ids_of(3)).save(root / "masks/3.png")
    after = make(root).contents
    assert [name for name in before if before[name] != after[name]] == ["images/3.png"]
    assert before["images/3.png"][0] == after["images/3.png"][0]
