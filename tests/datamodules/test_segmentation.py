"""Frames and masks stay together whatever is done to them; what is wrong with a dataset is said before it is used."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.errors import DatasetError
from datamodules.files.image_cache import ReadImages
from datamodules.loading.dataset import worker_count
from metrics.slices import SIZE_BOUNDS
from tests.datamodules.conftest import AUGMENTATIONS, SIZE, fit_loop, picture, scene, shipped
from tests.metrics.test_regions import flood_filled

VOID = 7


def contents(loader):
    return [
        (batch["index"].tolist(), batch["target"].numpy().tobytes(), batch["image"].numpy().tobytes())
        for batch in loader
    ]


def test_a_batch_is_images_and_masks(make, lite):
    module = make(label_space="idd_lite")
    assert (module.label_space.name, module.label_space.void) == ("idd_lite", VOID)
    for part in ("train", "select", "val", "train_eval"):
        for batch in module.evaluation_dataloader(part):
            assert (batch["image"].dtype, batch["target"].dtype) == (torch.uint8, torch.uint8)
            assert batch["image"].shape[1:] == (3, *SIZE)
            assert batch["target"].shape == (len(batch["index"]), *SIZE)
            assert batch["counted"] is True
            for index, image, mask in zip(batch["index"], batch["image"], batch["target"], strict=True):
                path = lite / module.table.samples[index].name
                ids = np.array(
                    Image.open(str(path).replace("leftImg8bit", "gtFine").replace("_image.jpg", "_label.png"))
                )
                np.testing.assert_array_equal(image.permute(1, 2, 0), picture(ids))
                np.testing.assert_array_equal(mask, np.where(ids == 255, VOID, ids))


def test_the_split_is_the_datasets_own_with_drives_of_train_put_aside(make):
    module = make()
    assert {split: len(module.indices(split)) for split in ("train", "select", "val", "test")} == {
        "train": 22, "select": 2, "val": 4, "test": 0,
    }  # fmt: skip
    groups = {
        split: {module.table.samples[i].group for i in module.indices(split)} for split in ("train", "select", "val")
    }
    assert len(set.union(*groups.values())) == sum(map(len, groups.values())) == 14
    assert (module.selection_split, module.closing_split, module.test_split) == ("select", "val", "val")
    assert module.validated == ("select", "train_eval")
    assert len(module.indices("train_eval")) == 2
    assert {sample.target for sample in module.table.samples} == {"mask"}
    assert [pair.name for pair in module.without_truth] == [
        f"leftImg8bit/test/030/{frame}_image.jpg" for frame in (0, 1)
    ]
    assert any("chosen on 2 samples of train that are put aside" in note for note in module.notes)
    module.setup("fit")
    module.setup("test")
    assert sorted(i for batch in module.test_dataloader() for i in batch["index"].tolist()) == module.indices("val")
    with pytest.raises(DatasetError, match="test has no samples; change"):
        module.prepare_split("test")


@pytest.mark.parametrize(("stage", "split"), [("fit", "select"), ("test", "val")])
def test_a_stage_prepares_what_it_needs(make, stage, split):
    module = make(prepare=False)
    module.setup(stage)
    loader = module.val_dataloader()[0] if stage == "fit" else module.test_dataloader()
    assert [i for batch in loader for i in batch["index"].tolist()] == module.indices(split)


def test_only_what_is_reported_tells_how_large_regions_are_and_only_if_asked(make):
    assert "region" not in next(iter(make().test_dataloader()))
    module = make(region_sizes=True)
    for loader in (*module.val_dataloader(), module.training_dataloader(0), module.evaluation_dataloader("val")):
        assert "region" not in next(iter(loader))
    for workers in (0, 2):
        module = make(num_workers=workers, region_sizes=True)
        seen = []
        for batch in module.test_dataloader():
            assert (batch["region"].dtype, batch["region"].shape) == (torch.uint8, batch["target"].shape)
            for mask, region in zip(batch["target"].numpy(), batch["region"].numpy(), strict=True):
                np.testing.assert_array_equal(region, flood_filled(mask, VOID, SIZE_BOUNDS))
            seen += batch["index"].tolist()
        assert seen == module.indices("val")


def test_workers_find_regions_also_of_small_frames_that_are_ready(make):
    assert make(cache=True, num_workers=None).test_dataloader().num_workers == 0
    module = make(cache=True, num_workers=None, region_sizes=True)
    assert module.test_dataloader().num_workers == worker_count(None) > 0


def test_frames_without_truth_can_be_predicted_and_their_masks_are_void(make, lite, tmp_path):
    module = make(cache=True, test_split="test")
    assert not module.only_predict("val")
    before = module.names
    assert module.only_predict("test")
    assert set(module.names) - set(before) == {pair.name for pair in module.without_truth}
    after = module.names
    assert module.only_predict("test")
    assert module.names == after
    module.write_split(tmp_path / "split.csv")  # it can be read as a split: what has no truth is found anew
    assert make(split=str(tmp_path / "split.csv")).names == before
    module.setup("test")
    seen = {}
    for batch in module.test_dataloader():
        assert (batch["target"] == VOID).all()
        seen |= dict(zip(batch["index"].tolist(), batch["image"], strict=True))
    assert [module.names[index] for index in sorted(seen)] == [pair.name for pair in module.without_truth]
    for index, image in seen.items():
        expected = np.array(Image.open(lite / module.names[index]))
        np.testing.assert_array_equal(image.permute(1, 2, 0), expected)


def test_frames_without_truth_that_cannot_be_read_are_named_or_left_out(make, lite):
    (lite / "leftImg8bit/test/030/1_image.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"1 of 2 test frames .*\n.*test/030/1_image\.jpg: not an image"):
        make().only_predict("test")
    module = make(on_corrupt="skip")
    assert module.only_predict("test")
    assert [module.names[index] for index in module.indices("test")] == ["leftImg8bit/test/030/0_image.jpg"]
    assert [name for name, _ in module.skipped] == ["leftImg8bit/test/030/1_image.jpg"]


def test_predicted_masks_are_called_as_the_datasets_own_and_no_two_alike(make, lite):
    module = make()
    names = {module.names[index].split("/", 2)[2]: file for index, file in module.prediction_files("val").items()}
    assert names == {f"{drive}/{i}_image.jpg": f"{drive}/{i}_label.png" for drive in ("020", "021") for i in (0, 1)}
    for kind in ("leftImg8bit", "gtFine"):
        (lite / kind / "val/020").rename(lite / kind / "val/000")  # a drive of train
    split = make(split={"train": 0.6, "val": 0.2, "test": 0.2})
    together = next(sample.split for sample in split.table.samples if sample.group == "000")
    with pytest.raises(DatasetError, match=r"2 names, such as 000/0_label\.png"):
        split.prediction_files(together)


def test_frames_that_are_not_scored_at_their_own_size_are_counted(make, lite):
    assert make().size_note("val") is None
    for size, path in (((48, 72), "val/020/0"), ((30, 36), "val/021/1")):
        Image.fromarray(picture(scene(1, size))).save(lite / f"leftImg8bit/{path}_image.jpg", "PNG")
        Image.fromarray(scene(1, size)).save(lite / f"gtFine/{path}_label.png")
    note = "2 of 4 frames of val are resized to be evaluated at 36×24: 72×48 (1), 36×30 (1); 1 of them are squashed"
    assert make().size_note("val").startswith(note)
    assert make().size_note("train") is None
    data = make()
    heights_and_widths = [list(data.sizes[data.names[index]]) for index in data.indices("val")]
    assert data.extents(data.indices("val"))["image"].tolist() == heights_and_widths
    large = make(eval_size=(48, 72)).size_note("train")
    assert large == "22 of 22 frames of train are resized to be evaluated at 72×48: 36×24 (22)."


def test_without_a_piece_of_train_the_choice_is_on_val_and_that_is_said(make):
    module = make(select_from=None)
    assert (len(module.indices("train")), module.selection_split, module.closing_split) == (24, "val", "val")
    assert any("which is also what is reported" in note for note in module.notes)


def test_a_dataset_without_train_says_so(make, lite):
    for kind in ("gtFine", "leftImg8bit"):
        (lite / kind / "train").rename(lite / f"{kind}-train")
    with pytest.raises(DatasetError, match="train has no samples; change"):
        make()


def test_ranks_share_training_steps(make):
    whole, ranks = make(transform=shipped("road")), [make(transform=shipped("road")) for _ in range(2)]
    for rank, module in enumerate(ranks):
        device, loop = SimpleNamespace(root_device=torch.device("cpu")), fit_loop(epoch=1)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, num_nodes=1, fit_loop=loop, strategy=device)
    for batch, *parts in zip(whole.training_dataloader(1), *(m.train_dataloader() for m in ranks), strict=True):
        for key in ("image", "target", "index"):
            assert torch.equal(torch.cat([part[key] for part in parts if part["counted"]]), batch[key])


def test_fractions_by_drive_have_a_test_of_their_own(make):
    module = make(split={"train": 0.6, "val": 0.2, "test": 0.2})
    assert (module.selection_split, module.closing_split) == ("val", "test")
    groups = [{module.table.samples[i].group for i in module.indices(split)} for split in ("train", "val", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 14


def test_a_runs_split_is_taken_as_it_is(make, tmp_path):
    first = make(fraction=0.7)
    first.table.write_csv(tmp_path / "split.csv")
    again = make(split=str(tmp_path / "split.csv"))
    assert again.table.samples == first.table.samples
    assert again.selection_split == "select"


def test_a_smaller_fraction_is_part_of_a_larger_one(make):
    names = [{s.name for s in make(fraction=part).table.samples} for part in (0.3, 0.6, 1.0)]
    assert names[0] < names[1] < names[2]
    assert [len(part) for part in names] == [8, 16, 28]


@pytest.mark.parametrize("cache", [True, False])
def test_batches_are_the_same_for_any_number_of_workers_and_with_a_cache(make, cache):
    plain = [contents(make(transform=shipped("road")).training_dataloader(epoch)) for epoch in (0, 1)]
    for workers in (0, 2):
        module = make(transform=shipped("road"), num_workers=workers, cache=cache)
        assert [contents(module.training_dataloader(epoch)) for epoch in (0, 1)] == plain
    assert contents(make(transform=shipped("road")).training_dataloader(1, start_batch=2)) == plain[1][2:]
    assert contents(make(cache=cache).evaluation_dataloader("val")) == contents(make().evaluation_dataloader("val"))


def test_a_changed_mask_is_read_again_and_another_label_space_has_its_own_cache(make, lite):
    before = contents(make(cache=True).evaluation_dataloader("val"))
    assert contents(make(cache=True).evaluation_dataloader("val")) == before
    table = lite.parent / "less.csv"
    table.write_text("name,id,void\nroad,0,no\nother,2,no\ncar,3,no\nsky,6,no\nnothing,255,yes\nx,1,yes\n")
    other = make(cache=True, label_space=str(table)).evaluation_dataloader("val")
    assert set(np.unique(next(iter(other))["target"])) == {0, 1, 2, 3, 4}
    path = min((lite / "gtFine/val").rglob("*.png"))
    Image.fromarray(np.full(SIZE, 5, np.uint8)).save(path)
    after = list(make(cache=True).evaluation_dataloader("val"))
    assert (after[0]["target"][0] == 5).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [SIZE, (20, 31), (48, 72)])
def test_masks_turn_with_their_images_and_gain_no_class(make, name, size):
    module = make(transform=shipped(name, size), image_size=size, batch_size=24)
    colour_kept = name != "road"  # which changes colours, so that ids cannot be read from them
    for epoch in range(3):
        batch = next(iter(module.training_dataloader(epoch)))
        image, mask = batch["image"].numpy(), batch["target"].numpy()
        assert mask.dtype == np.uint8
        assert mask.shape[1:] == image.shape[2:] == size
        assert set(np.unique(mask)) <= {0, 2, 3, 6, VOID}
        if colour_kept:
            shown = np.where(image[:, 0] == 255, VOID, image[:, 0])
            assert (shown == mask).mean() > (1.0 if size == SIZE and name == "none" else 0.8) - 1e-9


def test_a_crop_is_cut_from_image_and_mask_alike(make):
    module = make(transform=shipped("road"), batch_size=24)
    module.augmentation.transform.transforms.pop()  # colours stay, so that ids can be read from them
    batch = next(iter(module.training_dataloader(0)))
    shown, mask = batch["image"][:, 0].numpy(), batch["target"].numpy()
    inner = np.zeros_like(mask, bool)  # away from borders, where bilinear pixels lie between two ids
    for shift in [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]:
        inner |= np.roll(mask, shift, (1, 2)) != mask
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = True
    assert (~inner).mean() > 0.4
    np.testing.assert_array_equal(np.where(shown == 255, VOID, shown)[~inner], mask[~inner])


def test_training_may_cut_its_pictures_out_of_larger_ones(make):
    import albumentations

    cut = albumentations.Compose([albumentations.RandomCrop(10, 16, p=1)])
    for cache in (True, False):
        module = make(transform=cut, image_size=(10, 16), load_size=SIZE, batch_size=24, cache=cache)
        batch = next(iter(module.training_dataloader(0)))
        shown = batch["image"][:, 0].numpy()
        assert shown.shape[1:] == (10, 16)
        np.testing.assert_array_equal(np.where(shown == 255, VOID, shown), batch["target"])
        assert next(iter(module.evaluation_dataloader("val")))["image"].shape[2:] == SIZE
    for transform in (None, shipped("flip_rotate")):
        with pytest.raises(
            DatasetError, match=r"data\.load_size=\[24,36\]: .* of \[24,36\] .*image_size=\[10,16\]; take aug=road"
        ):
            make(transform=transform, image_size=(10, 16), load_size=SIZE)


def test_a_disk_must_have_room_for_the_masks_too(make, monkeypatch, capsys):
    import shutil

    images = 22 * SIZE[0] * SIZE[1] * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=images + 100))
    module = make(cache=True)
    module.setup("fit")
    assert re.match(r"warning: the image cache needs 76\.0 kB and .* has 57\.1 kB free", capsys.readouterr().err)
    assert isinstance(module.images("train", SIZE), ReadImages)


def test_what_a_rotation_shows_of_the_outside_is_void(make):
    import albumentations

    module = make(
        transform=albumentations.Compose([albumentations.Rotate((45, 45), border_mode=0, p=1)]), batch_size=24
    )
    batch = next(iter(module.training_dataloader(0)))
    assert (batch["target"][:, 0, -1] == VOID).all()
    assert (batch["image"][:, :, 0, -1] == 0).all()


def test_scoring_is_at_the_frames_own_size_unless_another_is_asked(make, lite):
    small = make(image_size=(12, 18))
    assert small.eval_size == SIZE
    assert next(iter(small.training_dataloader(0)))["target"].shape[1:] == (12, 18)
    assert next(iter(small.evaluation_dataloader("val")))["target"].shape[1:] == SIZE
    asked = make(eval_size=(48, 72))
    batch = next(iter(asked.evaluation_dataloader("val")))
    own = next(iter(make().evaluation_dataloader("val")))
    assert torch.equal(batch["target"], own["target"].repeat_interleave(2, 1).repeat_interleave(2, 2))
    for name in ("0", "1"):
        ids = scene(1, (30, 40))
        Image.fromarray(picture(ids)).save(lite / f"leftImg8bit/train/003/{name}_image.jpg", "PNG")
        Image.fromarray(ids).save(lite / f"gtFine/train/003/{name}_label.png")
    mixed = make()
    assert mixed.eval_size == SIZE
    assert any("2 sizes: 36×24 (26), 40×30 (2); all are scored at the commonest, 36×24" in note for note in mixed.notes)
    assert {batch["target"].shape[1:] for batch in mixed.evaluation_dataloader("train")} == {SIZE}


def test_pixels_of_each_class_are_counted(make, lite):
    module = make()
    for split in ("train", "val"):
        masks = [
            np.array(Image.open(str(lite / s.name).replace("leftImg8bit", "gtFine").replace("_image.jpg", "_label.png")))
            for s in module.table.samples if s.split == split
        ]  # fmt: skip
        assert module.class_counts(split) == [int(sum((mask == i).sum() for mask in masks)) for i in range(7)]
    assert list(module.counts()) == ["train", "select", "val"]
    assert "No pixel of train is non-drivable, roadside objects, far objects." in module.notes


def test_wrong_requests_are_answered(make, lite):
    with pytest.raises(DatasetError, match="masks of IDD-Lite hold seven classes; use idd_lite or idd_level1"):
        make(label_space="idd_level3")
    with pytest.raises(DatasetError, match="reads one folder"):
        make(root=[str(lite), str(lite)])
    with pytest.raises(DatasetError, match=r"No frames with truth .* expected leftImg8bit/train/<drive>"):
        make(root=str(lite / "gtFine"))
    with pytest.raises(DatasetError, match="train has one group only"):
        make(split="official", root=str(one_drive(lite)))


def one_drive(lite):
    for drive in sorted((lite / "gtFine/train").iterdir())[1:]:
        for kind in ("gtFine", "leftImg8bit"):
            (lite / kind / "train" / drive.name).rename(lite / f"{kind}-{drive.name}")
    return lite


def test_folds_pool_the_frames_of_all_official_splits_that_have_truth(make):
    made = [make(folds=7, fold=fold) for fold in range(7)]
    drives = []
    for module in made:
        assert (module.selection_split, module.closing_split) == ("val", "test")
        assert len(module.table) == 28
        assert len(module.without_truth) == 2
        tested = {module.table.samples[index].group for index in module.indices("test")}
        assert len(tested) == 2
        drives += tested
        assert not {module.table.samples[i].group for split in ("train", "val") for i in module.indices(split)} & tested
    assert sorted(drives) == sorted({sample.group for sample in made[0].table.samples})


def test_a_drive_that_the_official_split_tears_apart_is_whole_in_a_fold(make, lite):
    for kind in ("leftImg8bit", "gtFine"):
        (lite / kind / "val/020").rename(lite / kind / "val/003")
    with pytest.raises(DatasetError, match="a drive belongs on one side"):
        make()
    for fold in range(3):
        table = make(folds=3, fold=fold).table
        assert len(table) == 28
        assert len({sample.split for sample in table.samples if sample.group == "003"}) == 1
