"""The style of all figures, and writing them to files."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

from run_folder import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, distinguishable with every kind of colour vision. Source: jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
DARK, GREY, LIGHT = "#333333", "#999999", "#DDDDDD"
DPI = 120
LONGEST_NAME = 30

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "axes.edgecolor": DARK,
    "axes.labelcolor": DARK,
    "text.color": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # a class name may be a$b$c
}


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield a figure of a size in inches, and write it to ``path`` as PNG when the block ends without an error."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        yield figure
        with atomic(path) as file, catch_warnings():
            # `undrawable` names these; Matplotlib 3.10 also warns of scripts whose letters it does not join.
            filterwarnings("ignore", message="Glyph .* missing from|Matplotlib currently does not support")
            figure.savefig(file, format="png", metadata={"Software": None})


def undrawable(names: Iterable[str]) -> list[str]:
    """Return the names that figures show with boxes, because their font lacks some of the letters."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    drawn = get_font(findfont(FontProperties())).get_charmap()
    return [name for name in names if not {ord(letter) for letter in name} <= drawn.keys()]


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names to fit beside a plot: long ones lose their middle, because class names differ at both ends.

    Those that differ in their middle only have their place, counted from 1, there.
    """
    shown = [_short(name, "…") for name in names]
    return [
        _short(names[place], f"…{place + 1}…") if shown.count(name) > 1 else name for place, name in enumerate(shown)
    ]


def _short(name: str, middle: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - len(middle)) // 2
    return f"{name[:half]}{middle}{name[-half:]}"


def compact(number: float) -> str:
    """Return a count in about four characters: 7, 950, 1.2k, 38k, 4.1M."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            scaled = number / factor
            return f"{scaled:.1f}{letter}" if scaled < 9.95 else f"{scaled:.0f}{letter}"
    return f"{number:.0f}"
