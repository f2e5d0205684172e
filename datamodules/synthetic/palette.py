"""Colours: most objects draw from the same ones, so that a colour does not reveal a class."""

from collections.abc import Sequence

import numpy as np

from datamodules.synthetic.geometry import Colour

# Typical of Indian streets, on vehicles, clothes, coats and boards alike.
STREET_COLOURS: tuple[Colour, ...] = (
    (225, 225, 222), (240, 238, 230), (168, 170, 172), (110, 112, 116), (46, 46, 50), (30, 32, 40),
    (150, 28, 30), (196, 60, 44), (232, 170, 40), (222, 196, 60), (40, 104, 60), (92, 130, 60),
    (34, 62, 120), (70, 120, 178), (120, 78, 52), (84, 62, 50), (176, 142, 108), (206, 118, 50),
    (120, 50, 96), (60, 130, 130),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((150, 106, 78), (122, 84, 60), (96, 66, 48), (172, 128, 96))
GLASS: tuple[Colour, ...] = ((40, 48, 56), (70, 84, 94), (120, 138, 150), (30, 34, 36))
LAMP_WHITE: Colour = (244, 240, 214)
LAMP_RED: Colour = (176, 30, 26)
LAMP_AMBER: Colour = (226, 140, 30)
PLATE: Colour = (226, 222, 196)


class Palette:
    """A drive's random choice of `size` street colours, each use slightly varied."""

    def __init__(self, rng: np.random.Generator, size: int = 9) -> None:
        self.rng = rng
        self._colours = [STREET_COLOURS[i] for i in rng.choice(len(STREET_COLOURS), size, replace=False)]

    def colour(self) -> Colour:
        """Return one of the drive's colours."""
        return self.one_of(self._colours, 14)

    def typical(self, colours: tuple[Colour, ...], share: float) -> Colour:
        """Return one of `colours` with probability `share`, otherwise one of the drive's colours."""
        return self.one_of(colours, 12) if self.chance(share) else self.colour()

    def one_of(self, colours: Sequence[Colour], spread: float) -> Colour:
        """Return one of `colours`, slightly varied."""
        return self.vary(colours[int(self.rng.integers(len(colours)))], spread)

    def vary(self, colour: Colour, spread: float) -> Colour:
        """Return a similar colour; `spread` is the standard deviation of its brightness."""
        grey, red, green, blue = self.rng.normal(0.0, spread, 4) * (1.0, 0.4, 0.4, 0.4)
        return tint((colour[0] + red, colour[1] + green, colour[2] + blue), 1.0, grey)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random() < probability)

    def uniform(self, low: float, high: float) -> float:
        """Return a uniformly distributed number."""
        return float(self.rng.uniform(low, high))


def tint(colour: Colour, factor: float, offset: float = 0.0) -> Colour:
    """Scale and shift a colour, clipped to 0-255."""
    red, green, blue = (min(255.0, max(0.0, channel * factor + offset)) for channel in colour)
    return red, green, blue
