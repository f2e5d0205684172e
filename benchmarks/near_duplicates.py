"""Are planted near-duplicates found, and how many other pairs are?

    python -m benchmarks.near_duplicates

Prints Markdown; needs REAL_DATA. Copies of IDD-Lite's and TrashNet's images are planted in another split than their originals.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import machine, markdown_table
from datamodules.files.audit import in_threads
from datamodules.files.images import read_image
from datamodules.files.near_duplicates import near_duplicates, small_picture
from datamodules.splits.sample_table import Sample

PLANTED = 100  # copies of each kind
NEAR = 10  # bits by which hashes of near-duplicates differ at most, a usual choice
Image = np.ndarray


def reencoded(image: Image, draws: np.random.Generator) -> Image:
    """A JPEG of any quality from 30 to 90."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(draws.integers(30, 91))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)


def resized(image: Image, draws: np.random.Generator) -> Image:
    """Half to one and a half of the size."""
    factor = draws.uniform(0.5, 1.5)
    return cv2.resize(
        image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )


def cropped(share: float) -> Callable[[Image, np.random.Generator], Image]:
    """What cuts off so much of both sides, anywhere, and encodes the rest."""

    def crop(image: Image, draws: np.random.Generator) -> Image:
        height, width = (round(side * (1 - share)) for side in image.shape[:2])
        top, left = draws.integers(0, image.shape[0] - height + 1), draws.integers(0, image.shape[1] - width + 1)
        return reencoded(image[top : top + height, left : left + width], draws)

    return crop


KINDS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "JPEG of quality 30–90": reencoded,
    "0.5–1.5 of the size": resized,
    "cropped by 5 % of the sides": cropped(0.05),
    "cropped by 10 %": cropped(0.1),
    "cropped by 15 %": cropped(0.15),
    "mirrored": lambda image, draws: reencoded(image[:, ::-1], draws),
}


def idd_lite(root: Path) -> list[tuple[Path, Sample]]:
    """The images of all splits, each with its drive."""
    paths = sorted((root / "idd20k_lite/leftImg8bit").rglob("*_image.jpg"))
    return [(path, Sample(path.as_posix(), path.parent.name, "mask", path.parts[-3])) for path in paths]


def trashnet(root: Path) -> list[tuple[Path, Sample]]:
    """The images in splits of 70, 10 and 20 %, without groups."""
    paths, draws = sorted((root / "trashnet").rglob("*.jpg")), np.random.default_rng(0)
    splits = draws.choice(["train", "val", "test"], len(paths), p=[0.7, 0.1, 0.2]).tolist()
    return [(path, Sample(path.as_posix(), path.as_posix(), path.parent.name, split)) for path, split in zip(paths, splits, strict=True)]  # fmt: skip


def hashed(picture: np.ndarray) -> np.ndarray:
    """64 bits of ±1: the low frequencies of the cosine transform against their median (pHash)."""
    low = cv2.dct(cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))[:8, :8].ravel()
    return np.where(low > np.median(low), 1, -1).astype(np.float32)


def by_hash(pictures: list[np.ndarray], samples: list[Sample]) -> set[frozenset[str]]:
    """The pairs of different splits and groups whose hashes differ in few bits."""
    bits = np.stack([hashed(picture) for picture in pictures])
    near = np.argwhere(np.triu(bits @ bits.T >= 64 - 2 * NEAR, 1)).tolist()
    chosen = [(samples[i], samples[j]) for i, j in near]
    return {frozenset((a.name, b.name)) for a, b in chosen if a.split != b.split and a.group != b.group}


def duplicates(found: list[tuple[Path, Sample]]) -> Iterator[list[str]]:
    """Yield a row for each kind of copy, then one for the pairs that were not planted and one for the time."""
    draws = np.random.default_rng(1)
    paths, samples = [path for path, _ in found], [sample for _, sample in found]
    start = time.process_time()
    pictures = list(in_threads(lambda path: small_picture(read_image(path)), paths, "Reading"))
    before = near_duplicates(pictures, samples)
    seconds, ways = time.process_time() - start, by_hash(pictures, samples)
    originals = draws.permutation(len(paths))[: PLANTED * len(KINDS)].reshape(len(KINDS), -1)
    planted: dict[str, set[frozenset[str]]] = {kind: set() for kind in KINDS}
    for (kind, copy), chosen in zip(KINDS.items(), originals, strict=True):
        for original in chosen.tolist():
            name = f"{kind} {original}"
            other = "train" if samples[original].split != "train" else "test"
            pictures.append(small_picture(copy(read_image(paths[original]), draws)))
            samples.append(Sample(name, name, samples[original].target, other))
            planted[kind].add(frozenset((name, samples[original].name)))
    after = {frozenset((each.first, each.second)) for each in near_duplicates(pictures, samples)}
    hashes = by_hash(pictures, samples)
    for kind, pairs in planted.items():
        yield [kind, *(f"{len(pairs & way) / len(pairs):.2f}" for way in (after, hashes))]
    yield ["pairs in the data itself, per 1,000 images", *(f"{1000 * number / len(paths):.1f}" for number in (len(before), len(ways)))]  # fmt: skip
    yield [f"processor seconds, {len(paths)} images", f"{seconds:.1f}", ""]


def main() -> None:
    """Measure both datasets, and print a table of each."""
    root = Path(os.environ["REAL_DATA"])
    cv2.setNumThreads(0)
    print(machine(("opencv-python-headless", "numpy")) + "\n")
    for name, found in (("IDD-Lite", idd_lite(root)), ("TrashNet", trashnet(root))):
        print(markdown_table([name, "here", f"pHash, up to {NEAR} bits"], list(duplicates(found))) + "\n")


if __name__ == "__main__":
    main()
