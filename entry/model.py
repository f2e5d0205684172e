"""A run's model that predicts images: one way for predict.py and for Python."""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
import torch
from lightning import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from callbacks.finite_logits import not_finite
from callbacks.out_of_memory import lacks_memory, of_evaluation, owner
from datamodules.errors import DatasetError
from datamodules.files.audit import core_count
from datamodules.files.images import RGB, from_pillow, resize_mask
from datamodules.loading.unlabelled_images import Pictures, collate
from entry.builders.crosswalk import own_space
from entry.builders.modules import build_module
from entry.checkpoint import find_checkpoint, load
from entry.config.run_config import open_run, read_settings
from entry.errors import RequestError
from entry.exported import read_manifest
from entry.hardware import choose
from label_spaces import catalogue
from label_spaces.space import LabelSpace
from lightning_modules.errors import TrainingError
from reports.evaluation_files import read_scores
from run_folder import RunFolder
from settings.data import DataSettings
from settings.run import RunSettings, validated
from settings.training import TrainerSettings

Picture: TypeAlias = str | Path | Image.Image | NDArray[np.uint8]
Ids: TypeAlias = NDArray[np.int64] | list[NDArray[np.uint8]]
Probabilities: TypeAlias = NDArray[np.float32] | list[NDArray[np.float32]]


def open_model(
    folder: str | Path, checkpoint: str | Path = "best", device: str | None = None, allow: Sequence[str] = ()
) -> "TrainedModel":
    """What `entry.load_run` does."""
    run = open_run("run", str(folder))
    settings = read_settings(run, allow)
    kind, _, index = (device or settings.trainer.accelerator).replace("cuda", "gpu").partition(":")
    trainer = validated(TrainerSettings, {**settings.trainer.model_dump(), "accelerator": kind})
    settings = settings.model_copy(update={"trainer": trainer})
    return TrainedModel(run, settings, str(checkpoint), int(index) if index.isdecimal() else None)


class TrainedModel:
    """The network of a run with the weights of a checkpoint, on one device.

    `task` is classification or segmentation, `label_space` has the `classes` with their colours and ids, and `size` is the
    (height, width) at which images are predicted: that of the run's evaluation. Precision, threads and test-time augmentation
    are as the settings have them. Raises RequestError, RunFolderError or WeightsError where something is not there or does
    not fit.
    """

    def __init__(self, folder: RunFolder, settings: RunSettings, checkpoint: str, index: int | None = None) -> None:
        found = find_checkpoint(folder, checkpoint)
        with isolate_rng():
            self._module, _ = build_module(settings, found.label_space, weights="none")
        load(self._module, found)
        self.settings, self.task = settings, settings.model.task
        self.label_space = with_colours(folder, settings.data, found.label_space)
        self.classes = self.label_space.classes
        self.size = settings.data.eval_size or evaluated_size(folder) or settings.data.image_size
        self._hardware = choose(settings.trainer.model_copy(update={"devices": 1, "num_nodes": 1}))
        self._threads = self._hardware.threads
        if settings.trainer.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with a fixed one only
        log = logging.getLogger("lightning.pytorch")
        level = log.level
        log.setLevel(logging.WARNING)  # it would name the precision
        self._fabric = Fabric(
            accelerator=self._hardware.accelerator,
            devices=1 if index is None else [index],
            precision=cast(Any, self._hardware.precision),
            plugins=[LightningEnvironment()],  # inside a SLURM job too
        )
        log.setLevel(level)
        self._fabric.setup_module(self._module.eval())  # in place: on the device, and in the precision

    @property
    def on_cpu(self) -> bool:
        """Whether the network computes on the CPU."""
        return self._fabric.device.type == "cpu"

    def predict(
        self, images: Picture | Iterable[Picture], batch_size: int | None = None, *, all_classes: bool = False
    ) -> tuple[Ids, Probabilities]:
        """Return the classes and probabilities of images, as predict.py computes them.

        An image is a path, a PIL image, or an array (H, W, 3) of RGB in uint8; several are an array (N, H, W, 3) or any
        iterable. `batch_size` images are computed at once (None: data.eval_batch_size).

        Classification: indices of `classes` (N,), and probabilities (N, C). Segmentation: for each image at its own size the
        indices (H, W), and the probabilities of these classes (H, W), or with `all_classes` of all (C, H, W), which need 4·C
        bytes a pixel. Raises RequestError for what is no image, DatasetError naming files that cannot be read, TrainingError
        where logits are not finite.
        """
        given = [_image(image, place) for place, image in enumerate(_several(images))]
        found = [*self._predicted(given, batch_size or self.settings.data.eval_batch_size, all_classes)]
        ids, probabilities = [each for each, _ in found], [each for _, each in found]
        if self.task == "segmentation":
            return ids, probabilities
        return np.array(ids, np.int64), np.array(probabilities, np.float32).reshape(-1, len(self.classes))

    def _predicted(self, given: Sequence[Path | RGB], step: int, all_classes: bool) -> Iterator[tuple[Any, Any]]:
        """Yield ids and probabilities image by image."""
        pictures = Pictures(given, self.size, self.settings.data.bit_depth)
        names = [str(each) if isinstance(each, Path) else f"image {place}" for place, each in enumerate(given)]
        with ThreadPoolExecutor(core_count()) as pool:  # decoding releases the interpreter's lock
            for start in range(0, len(given), step):
                batch = collate([*pool.map(pictures.__getitem__, range(len(given))[start : start + step])])
                if batch["unreadable"]:
                    raise DatasetError("\n".join(batch["unreadable"].values()))
                named = names[start : start + step]
                if self.task == "classification":
                    shares = self.classify(batch["image"], named)
                    yield from zip(shares.argmax(1), shares, strict=True)
                    continue
                masks, maps = self.segment(batch["image"], named, "all" if all_classes else "best")
                for mask, share, size in zip(masks, maps, batch["size"], strict=True):
                    yield resize_mask(mask, size), _nearest(share, size)

    def classify(self, images: Tensor, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the probabilities (B, C) of uint8 images (B, 3, H, W); `names` are for messages. Raises TrainingError."""
        with self._computing(images):
            logits = self._logits(images)
            self._check(logits.amax(1)[:, None], names)
            return logits.softmax(1).cpu().numpy()

    def segment(
        self, images: Tensor, names: Sequence[str], probabilities: str = "none"
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the classes (B, H, W) of uint8 images (B, 3, H, W), and as `probabilities` has it the ``best`` classes' (B, H, W), those of ``all`` (B, C, H, W) or ``none``.

        `names` are for messages. Raises TrainingError.
        """
        with self._computing(images):
            logits = self._logits(images)
            best, masks = logits.max(1)
            self._check(best.flatten(1), names)
            shares = logits.new_zeros(0)
            if probabilities != "none":
                shares = logits.softmax(1)
            if probabilities == "best":
                shares = shares.gather(1, masks[:, None])[:, 0]
            return masks.to(torch.uint8).cpu().numpy(), shares.cpu().numpy()

    def _logits(self, images: Tensor) -> Tensor:
        return self._module.predict_logits(images.to(self._fabric.device))

    def _check(self, best: Tensor, names: Sequence[str]) -> None:
        """Raise TrainingError for the first image one of whose highest logits (B, pixels) is not finite."""
        finite = best.sum(1).isfinite().tolist()
        if not all(finite):
            raise TrainingError(not_finite(names[finite.index(False)], self._module, self._hardware.precision))

    @contextlib.contextmanager
    def one_thread_a_batch(self) -> Iterator[int]:
        """Compute each batch with one thread inside the block, and yield how many threads may call `segment` or `classify` at once.

        Threads that share a batch wait for one another in each layer, longest where something else, such as the encoder of a
        video, needs a core too. A GPU computes one batch after the other.
        """
        deterministic = torch.are_deterministic_algorithms_enabled()
        # It is the process's, not a thread's: no thread may change it inside the block.
        torch.use_deterministic_algorithms(self.settings.trainer.deterministic)
        try:
            if self.on_cpu:
                self._threads = 1
            yield self._hardware.threads if self.on_cpu else 1
        finally:
            self._threads = self._hardware.threads
            torch.use_deterministic_algorithms(deterministic)

    @contextlib.contextmanager
    def _computing(self, images: Tensor) -> Iterator[None]:
        """Compute as the settings have it inside the block; torch's own state is afterwards as it was.

        An error for want of memory has a note with the number and the size of the images (B, 3, H, W).
        """
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(self._threads)
        torch.use_deterministic_algorithms(self.settings.trainer.deterministic)
        try:
            with torch.inference_mode(), self._fabric.autocast():
                yield
        except (MemoryError, RuntimeError) as error:
            if lacks_memory(error):
                note = of_evaluation(len(images), (images.shape[2], images.shape[3]))
                error.add_note(f"{owner(self._fabric.device)} is used up by {note}")
            raise
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def _several(images: Picture | Iterable[Picture]) -> Iterable[Picture]:
    one = isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4)
    return cast(Iterable[Picture], [images] if one else images)


def _image(image: object, place: int) -> Path | RGB:
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise RequestError(f"image {place} is {found}; give a path, a PIL image, or an array (H, W, 3) of RGB in uint8 (0–255).")  # fmt: skip


def _nearest(share: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (H, W) or (C, H, W) to the pixels that `resize_mask` takes."""
    if share.ndim == 3:
        return np.stack([_nearest(each, size) for each in share])
    return np.asarray(cv2.resize(share, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def evaluated_size(folder: RunFolder) -> tuple[int, int] | None:
    """(height, width) at which a run was evaluated, the frames' own where the settings leave it to them; or an export's run."""
    if folder.is_export:
        return read_manifest(folder).input.size
    for split in ("test", "val"):
        scores = folder.evaluation(split) / "scores.json"
        if scores.is_file():
            size = read_scores(scores)["policy"].get("resolution")  # None for frames of several sizes
            return (size[0], size[1]) if size else None
    return None


def with_colours(folder: RunFolder, data: DataSettings, space: LabelSpace) -> LabelSpace:
    """A checkpoint holds the names of the classes; the run's own label space, or one of ours, has colours too."""
    known = own_space(folder, data) or (catalogue.load(space.name) if space.name in catalogue.names() else space)
    return known if known.classes == space.classes else space
