"""Colours: mostly every kind of thing draws from the same ones, so that a colour does not give a class away."""

import numpy as np

from datamodules.synthetic.geometry import Colour

# What is seen on Indian streets, on vehicles, clothes, coats and boards alike.
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
    """A drive's own choice of the street's colours, handed out at random and slightly varied."""

    def __init__(self, rng: np.random.Generator, size: int = 9) -> None:
        self.rng = rng
        self._colours = [STREET_COLOURS[i] for i in rng.choice(len(STREET_COLOURS), size, replace=False)]

    def paint(self) -> Colour:
        """A colour for anything that people paint, wear or breed."""
        return self.near(self._colours[int(self.rng.integers(len(self._colours)))], 14)

    def usual(self, colours: tuple[Colour, ...], share: float) -> Colour:
        """With probability `share` one of the colours that such things usually have, else any paint."""
        if self.chance(share):
            return self.near(colours[int(self.rng.integers(len(colours)))], 12)
        return self.paint()

    def skin(self) -> Colour:
        """A colour of skin."""
        return self.near(SKIN[int(self.rng.integers(len(SKIN)))], 8)

    def glass(self) -> Colour:
        """A window pane: dark inside, or with the sky in it."""
        return self.near(GLASS[int(self.rng.integers(len(GLASS)))], 8)

    def near(self, colour: Colour, spread: float) -> Colour:
        """A colour close to the given one."""
        grey, red, green, blue = self.rng.normal(0.0, spread, 4) * (1.0, 0.4, 0.4, 0.4)
        return tint((colour[0] + red, colour[1] + green, colour[2] + blue), 1.0, grey)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """A number drawn uniformly."""
        return float(self.rng.uniform(low, high))


def tint(colour: Colour, factor: float, offset: float = 0.0) -> Colour:
    """A colour made lighter or darker, kept in 0-255."""
    red, green, blue = (min(255.0, max(0.0, channel * factor + offset)) for channel in colour)
    return red, green, blue
