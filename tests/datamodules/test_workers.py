"""Processes that read: what is sent to spawned ones, as on macOS, and how many have room in shared memory."""

import multiprocessing
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.errors import DatasetError
from datamodules.idd import IDDDataModule
from datamodules.image_folder import ImageFolderDataModule
from datamodules.loading.dataset import SampleKey, read_ahead, worker_count
from datamodules.loading.unlabelled_images import picture_loader
from datamodules.mask_folder import MaskFolderDataModule
from datamodules.object_crops import ObjectCropDataModule
from tests.conftest import make_image_folder, make_mask_folder
from tests.datamodules.conftest import SIZE, shipped

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.fixture
def modules(tmp_path, settings, idd):
    """A function that makes a prepared data module of a kind."""

    def make(kind, **keys):
        if kind == "image_folder":
            root, cls = make_image_folder(tmp_path / "pictures"), ImageFolderDataModule
            keys = {"split": PARTS, "split_by": "sample", "select_from": None, **keys}
        elif kind == "mask_folder":
            root, cls = make_mask_folder(tmp_path / "streets"), MaskFolderDataModule
            keys = {
                "split": PARTS,
                "split_by": "sample",
                "select_from": None,
                "classes": ["sky", "road", "car"],
                **keys,
            }
        else:
            root, cls = idd(size=(72, 108)), IDDDataModule if kind == "idd" else ObjectCropDataModule
            keys |= {"label_space": "idd_level3"} if kind == "idd" else {"split": PARTS, "split_by": "group"}
        module = cls(settings(**{"root": str(root), "image_size": SIZE, **keys}), transform=shipped("flip_rotate"))
        module.prepare_training()
        return module

    return make


def arrays(item):
    return {name: np.asarray(value).tolist() for name, value in item.items()}


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("kind", ["image_folder", "mask_folder", "idd"])
def test_what_a_spawned_worker_receives_reads_the_same(modules, kind, cache):
    module = modules(kind, cache=cache)
    module.trainer = SimpleNamespace(  # a real one cannot be pickled either
        world_size=1,
        global_rank=0,
        num_nodes=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        lock=iter(()),
    )
    for loader in (module.training_dataloader(1), module.evaluation_dataloader("test" if kind != "idd" else "val")):
        sent = pickle.dumps(loader.dataset)
        key = next(iter(loader.batch_sampler))[0]
        assert arrays(pickle.loads(sent)[key]) == arrays(loader.dataset[key])
        pickle.dumps((loader.collate_fn, loader.worker_init_fn))


def test_a_cache_is_mapped_again_and_not_sent(modules):
    module = modules("image_folder", cache=True)
    images = module.images("train", module.train_size)
    again = pickle.loads(pickle.dumps(images))
    assert len(pickle.dumps(images)) < images.array.nbytes / 10
    assert isinstance(again.array.base, np.memmap)
    index = module.indices("train")[3]
    np.testing.assert_array_equal(again(index), images(index))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image_folder", "mask_folder"])
def test_spawned_workers_give_the_same_batches(modules, kind, request):
    def batches(module):
        return [arrays(batch) for batch in module.training_dataloader(0)]

    module = modules(kind)
    expected = batches(module)
    multiprocessing.set_start_method("spawn", force=True)
    request.addfinalizer(lambda: multiprocessing.set_start_method(None, force=True))
    module.settings = module.settings.model_copy(update={"num_workers": 2})
    assert module.training_dataloader(0).multiprocessing_context.get_start_method() == "spawn"
    assert batches(module) == expected


@pytest.fixture
def shared_memory(monkeypatch):
    """A function that sets the free bytes of shared memory, on a machine of 8 cores."""
    monkeypatch.setattr("datamodules.files.audit.core_count", lambda: 8)

    def free(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size))

    return free


MIB = 2**20


# Of n batches three are in use, and the others are read ahead; each has up to four pages more than its bytes.
@pytest.mark.parametrize(
    ("free", "workers", "ahead"),
    [
        (1000 * MIB, 7, 4),
        (64 * MIB, 7, 4),
        (20 * MIB, 7, 2),
        (12 * MIB, 7, 1),
        (6 * MIB, 2, 1),
        (3 * MIB, 0, 1),
        (0, 0, 1),
    ],
)
def test_as_many_workers_are_chosen_as_shared_memory_has_room_for(shared_memory, free, workers, ahead):
    shared_memory(free)
    found = worker_count(None, batch_bytes=MIB)
    assert (found, read_ahead(found, batch_bytes=MIB)) == (workers, ahead)
    assert (found * ahead + 3) * MIB <= free or found == 0


def test_the_semaphores_of_the_loaders_need_room_too(shared_memory):
    shared_memory(MIB)  # 256 pages: four batches of 59 pages and 3 smaller tensors each leave 8, a loader has 11
    assert worker_count(None, batch_bytes=2 * 200 * 200 * 3) == 0


def test_processes_share_the_memory(shared_memory):
    shared_memory(12 * MIB)
    assert worker_count(None, 2, MIB) == 2


def test_typed_workers_without_room_are_refused_with_what_to_type(shared_memory):
    shared_memory(65536)
    with pytest.raises(
        DatasetError, match=r"data\.num_workers=2: .*65\.5 kB free\. Type data\.num_workers=0, or .*--shm-size=1g"
    ):
        worker_count(2, batch_bytes=MIB)
    assert worker_count(0, batch_bytes=MIB) == 0
    shared_memory(64 * MIB)
    assert worker_count(2, batch_bytes=MIB) == 2


def test_a_data_module_refuses_before_anything_is_trained_and_notes_what_it_chose(modules, shared_memory):
    shared_memory(65536)
    with pytest.raises(DatasetError, match=r"data\.num_workers=2"):
        modules("mask_folder", num_workers=2)


def test_a_smaller_number_is_noted_once(modules, shared_memory, tmp_path):
    shared_memory(65536)
    # A batch of 4 frames of 24×36 pixels has 10,368 bytes and up to 4 pages: where three are in use, no other one has room.
    notes = modules("image_folder", num_workers=None).notes
    [note] = [note for note in notes if "hared memory" in note]
    assert note.startswith("Shared memory has room for 0 processes that read images, the cores for 7")


def test_predictions_need_room_too(tmp_path, shared_memory):
    root = make_image_folder(tmp_path / "pictures")
    paths = sorted(root.glob("*/*.png"))
    shared_memory(65536)
    assert picture_loader(paths, (100, 100), 4, None).num_workers == 0
    with pytest.raises(DatasetError, match=r"Type data\.num_workers=0"):
        picture_loader(paths, (100, 100), 4, 2)


def test_a_linux_without_shared_memory_reads_in_one_process(monkeypatch):
    def none(_):
        raise FileNotFoundError

    monkeypatch.setattr(shutil, "disk_usage", none)
    assert worker_count(None, batch_bytes=MIB) == 0
    monkeypatch.setattr("sys.platform", "darwin")  # which has it elsewhere
    assert worker_count(1, batch_bytes=MIB) == 1


def test_a_key_is_plain_data():
    assert pickle.loads(pickle.dumps(SampleKey(1, 2))) == SampleKey(1, 2)
