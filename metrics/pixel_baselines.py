"""Baselines for masks: predict the commonest training class of a pixel's place, of its colour, or of both.

Counted with numpy in one thread: on a busy machine the hand-over between torch's threads costs more than the counting.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from metrics.scores import headline_of

GRID = 32  # cells along each side of the frame: fine enough for a road's outline, coarse enough to be filled
FINE_BITS = 4  # per channel where colour decides alone: 4,096 colours
COARSE_BITS = 3  # per channel where the row decides too: 512 colours
ROWS = 16

CellOf = Callable[[np.ndarray], np.ndarray]


class PixelTable:
    """Count the classes of the pixels that fall into a cell; predict the commonest.

    In a cell without a training pixel that is the commonest class of all; of equally common classes it is the first.
    `cell_of` maps a (3, H, W) uint8 image to (H, W) whole numbers, cells, or a shape that broadcasts to it; void is `num_classes`.
    """

    def __init__(self, cell_of: CellOf, num_cells: int, num_classes: int) -> None:
        self.cell_of = cell_of
        self.num_classes = num_classes
        self.counts = np.zeros((num_cells, num_classes + 1), dtype=np.int64)

    def update(self, image: npt.ArrayLike, mask: npt.ArrayLike) -> None:
        """Add a training frame: (3, H, W) uint8 RGB and (H, W) class indices 0..C, arrays or tensors on the CPU.

        Raises ValueError where the mask holds an index above C, or its shape is not the image's.
        """
        image, mask = np.asarray(image), np.asarray(mask)
        if image.shape[1:] != mask.shape or mask.max() > self.num_classes:
            raise ValueError(
                f"a mask of shape {mask.shape} with indices up to {mask.max()} does not fit "
                f"an image of shape {image.shape} and {self.num_classes} classes"
            )
        cells = self.cell_of(image).astype(np.int64, copy=False) * (self.num_classes + 1) + mask
        self.counts += np.bincount(cells.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def table(self) -> np.ndarray:
        """Return the class that each cell predicts, (cells,) int64; void where nothing was counted."""
        known = self.counts[:, :-1]
        commonest = known.sum(0).argmax() if known.any() else self.num_classes
        return np.where(known.any(1), known.argmax(1), commonest)

    def predict(self, image: npt.ArrayLike) -> np.ndarray:
        """Predict the class of each pixel: (3, H, W) uint8 image -> (H, W) indices of the smallest type that holds them."""
        image = np.asarray(image)
        predicted = self.table().astype(np.min_scalar_type(self.num_classes))[self.cell_of(image)]
        return np.broadcast_to(predicted, image.shape[-2:])

    def confusion(self, frames: "PixelTable") -> np.ndarray:
        """Return the confusion matrix of this table's predictions on the frames counted by another table with the same cells.

        All pixels of a cell have the same prediction, so that nothing need be predicted pixel by pixel.
        """
        by_prediction = np.zeros((self.num_classes + 1, self.num_classes + 1), dtype=np.int64)
        np.add.at(by_prediction, self.table(), frames.counts)
        return by_prediction.T


def pixel_tables(num_classes: int) -> dict[str, PixelTable]:
    """Return the three baselines, empty: by place, by colour, and by colour and row."""

    def colour_and_row(image: np.ndarray) -> np.ndarray:
        return np.asarray(_colour(image, COARSE_BITS) * ROWS + _place(image, ROWS, 1))

    return {
        "position_prior": PixelTable(lambda image: _place(image, GRID, GRID), GRID**2, num_classes),
        "colour_table": PixelTable(lambda image: _colour(image, FINE_BITS), 1 << 3 * FINE_BITS, num_classes),
        "colour_row": PixelTable(colour_and_row, ROWS << 3 * COARSE_BITS, num_classes),
    }


def pixel_baseline_scores(
    tables: Mapping[str, PixelTable], frames: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]
) -> dict[str, dict[str, float | int | None]]:
    """Score tables on other frames (as of `PixelTable.update`; read once). Returns `{name: {accuracy, miou, fwiou}}`."""
    counted = {name: PixelTable(table.cell_of, len(table.counts), table.num_classes) for name, table in tables.items()}
    for image, mask in frames:
        for table in counted.values():
            table.update(image, mask)
    return {name: headline_of(table.confusion(counted[name]), "segmentation") for name, table in tables.items()}


def _place(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the cell of each pixel in a rows × columns grid over the frame: (H, W) int64, or (H, 1) for one column."""
    height, width = image.shape[-2:]
    row = np.arange(height)[:, None] * rows // height
    return np.asarray(row if columns == 1 else row * columns + np.arange(width)[None] * columns // width)


def _colour(image: np.ndarray, bits: int) -> np.ndarray:
    """Return the colour of each pixel in its highest bits per channel: (3, H, W) uint8 -> (H, W) uint16."""
    cut = (image >> (8 - bits)).astype(np.uint16)  # a fifth of the time of int64
    return np.asarray((cut[0] << 2 * bits) + (cut[1] << bits) + cut[2])
