"""Training samples mixed with a partner: mixup, CutMix and class-mix, each a function of (seed, epoch, sample)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from datamodules.loading.augmentation import draw_seed
from datamodules.loading.dataset import ImageDataset, TrainingBatches
from label_spaces.space import LabelSpace
from settings.mixing import MixingKeys


@dataclass(frozen=True, eq=False)
class MixedDataset(Dataset[dict[str, Any]]):
    """The samples of an epoch, each mixed with a partner: any sample of the epoch, with its own augmentation.

    With mixup or CutMix an item also has ``partner`` (int), the partner's class, and ``lambda`` (float32 scalar), the part of
    its image that is its own; with class-mix its mask is mixed as its image.
    """

    samples: ImageDataset
    batches: TrainingBatches
    space: LabelSpace
    keys: MixingKeys

    def __getitem__(self, key: Any) -> dict[str, Any]:
        item = self.samples[key]
        name = f"{self.samples.name_of(key)}\nmixed"
        draws = np.random.default_rng(draw_seed(self.batches.seed, key.epoch, name))
        if self.keys.copy_paste is not None and draws.random() >= self.keys.copy_paste:
            return item
        other = self.batches.key(int(draws.integers(len(self.batches.indices))))
        partner = self.samples[
            other._replace(epoch=key.epoch)
        ]  # a worker's copy of the batches stays in its first epoch
        if skipped := [*item.get("skipped", ()), *partner.get("skipped", ())]:
            item["skipped"] = skipped
        if self.keys.copy_paste is not None:
            return item | self._pasted(item, partner, draws)
        if self.keys.mixup is None or (self.keys.cutmix is not None and draws.random() < 0.5):
            image, own = cutmix(item["image"], partner["image"], self.keys.cutmix or 0, draws)
        else:
            image, own = mixup(item["image"], partner["image"], self.keys.mixup, draws)
        return item | {"image": image, "partner": partner["target"], "lambda": torch.tensor(own, dtype=torch.float32)}

    def _pasted(
        self, item: dict[str, Any], partner: dict[str, Any], draws: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """Return image and mask where the pixels of some of the partner's classes are pasted.

        Source: Olsson et al., ClassMix, arXiv 2007.07936: half of its classes, rounded down.
        """
        named, mask = self.keys.copy_paste_classes, partner["target"].numpy()
        if named is None:
            present = np.flatnonzero(cv2.calcHist([mask], [0], None, [256], [0, 256])[: self.space.void])
            chosen: Sequence[int] = draws.choice(present, len(present) // 2, replace=False).tolist()
        else:
            chosen = [self.space.classes.index(name) for name in named]
        table = np.zeros(256, np.uint8)
        table[chosen] = 1
        pasted = torch.from_numpy(np.asarray(cv2.LUT(mask, table))).view(torch.bool)  # a fraction of indexing's time
        return {name: torch.where(pasted, partner[name], item[name]) for name in ("image", "target")}


def mixup(
    image: torch.Tensor, partner: torch.Tensor, alpha: float, draws: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Return lambda · image + (1 - lambda) · partner, rounded to uint8, and lambda, of Beta(alpha, alpha).

    Source: Zhang et al., mixup, arXiv 1710.09412.
    """
    own = float(draws.beta(alpha, alpha))
    mixed = cv2.addWeighted(image.numpy().reshape(-1), own, partner.numpy().reshape(-1), 1 - own, 0)
    return torch.from_numpy(mixed.reshape(image.shape)), own


def cutmix(
    image: torch.Tensor, partner: torch.Tensor, alpha: float, draws: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Return the image with a box of the partner's pixels, and lambda, the part that is left of the image.

    The box has a part of 1 - lambda, of Beta(alpha, alpha), of the area before it is cut at the border; its centre is any
    pixel. Source: Yun et al., CutMix, arXiv 1905.04899.
    """
    height, width = image.shape[1:]
    half = 0.5 * np.sqrt(1 - draws.beta(alpha, alpha))
    x, y = int(draws.integers(width)), int(draws.integers(height))
    across, down = int(half * width), int(half * height)
    box = np.s_[:, max(0, y - down) : y + down, max(0, x - across) : x + across]
    mixed = image.clone()
    mixed[box] = partner[box]
    return mixed, 1 - mixed[box][0].numel() / (height * width)
