"""The verdict on fit: what the curves of history.csv show, as one word and the reason as a sentence. Needs no torch.

`train_eval` is a fixed, unaugmented part of train, scored in evaluation mode with the weights at the end of the epoch, so
that it can be compared with validation. Curves are smoothed; how much they vary from epoch to epoch is estimated from
them, because the lowest of many noisy values is low by chance.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_EPOCHS = 6  # fewer show no course
LATE = 0.8  # of the epochs: a later turn is none yet
MEMORISED = 0.1  # by how much the score on train may be above validation
CHANCE = 0.025  # of seeing a rise or fall where there is none
NEGLIGIBLE, SLIGHT = 0.02, 0.05  # of what a loss fell in all: a rise from the lowest value, a fall over the last third
ERRORS = 2.0  # standard errors that make a difference

Row = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Fit:
    """A verdict on fit.

    Args:
        verdict: ``cannot tell``, ``overfitting``, ``over-confident``, ``unstable``, ``memorising``, ``underfitting``,
            ``still improving`` or ``fine``.
        reason: a sentence with the numbers behind it; epochs are counted from 1.
    """

    verdict: str
    reason: str


def verdict_on_fit(history: Sequence[Row], score: str, error: float = 0.0, majority: float | None = None) -> Fit:
    """Return the verdict on a training.

    Args:
        history: the rows of history.csv.
        score: the headline score, such as ``miou``; higher is better.
        error: the standard error of that score on validation, from its interval; 0 where it is unknown.
        majority: the score of always predicting the commonest class; None where it is unknown.
    """
    names = ("train_eval/loss", "val/loss", f"train_eval/{score}", f"val/{score}")
    cells = [[row.get(name) for row in history] for name in names]
    found = [np.array([math.nan if each in (None, "") else float(each or 0) for each in column]) for column in cells]
    if len(history) < FEWEST_EPOCHS:
        return Fit("cannot tell", f"There are {len(history)} epochs; a course needs at least {FEWEST_EPOCHS}.")
    if absent := [name for name, values in zip(names, found, strict=True) if not np.isfinite(values).all()]:
        return Fit("cannot tell", f"history.csv lacks values of {', '.join(absent)}.")
    return next(_verdicts([_Curve(values) for values in found], score, error, majority))


def _verdicts(curves: Sequence["_Curve"], score: str, error: float, majority: float | None) -> Iterator[Fit]:
    """Yield the verdicts that hold, the most important first; the last one always does."""
    train_loss, val_loss, train_score, val_score = curves
    number = len(val_loss.values)
    both = _Curve(train_score.values - val_score.values)  # spikes that both scores have cancel
    last = max(3, number // 3)
    gap = float(np.median(both.values[-last:]))
    gap_error = math.hypot(error, both.noise * math.sqrt(math.pi / 2 / last))
    scores = f"in the last {train_score.width} epochs {score} has a median of {train_score.last:.3f} on train and of {val_score.last:.3f} on validation"
    begins = f"I{scores[1:]}"
    if majority is not None and train_score.last - majority <= ERRORS * gap_error:
        yield Fit("underfitting", f"{begins}; always predicting the commonest class has {majority:.3f}.")
    yield from _turned(train_loss, val_loss, val_score, score)
    if gap > max(MEMORISED, 3 * gap_error):
        yield Fit("memorising", f"{begins}: more than {100 * MEMORISED:.0f} points apart, and more than chance.")
    few = number < 2 * FEWEST_EPOCHS  # too few to tell a plateau from noise
    if (
        val_loss.still_falls()
        or _Curve(-val_score.values).still_falls()
        or (few and val_loss.values.argmin() == number - 1)
    ):
        yield Fit("still improving", f"Validation was still getting better at the end; {scores}.")  # fmt: skip
    perfect = 1 - train_score.last <= ERRORS * gap_error
    if gap < ERRORS * gap_error and not few and not perfect and not train_loss.still_falls():
        yield Fit("underfitting", f"Neither loss falls any more, and {scores}: no better on what was seen than on what was not.")  # fmt: skip
    yield Fit("fine", f"The validation loss neither rises nor falls at the end, and {scores}.")


def _turned(train_loss: "_Curve", val_loss: "_Curve", val_score: "_Curve", score: str) -> Iterator[Fit]:
    """Yield the verdict where the validation loss rose again after its lowest value, and goes on to rise."""
    best = int(val_loss.smooth.argmin())
    low, high = float(val_loss.smooth[best]), val_loss.last
    if best + 1 > LATE * len(val_loss.values) or not val_loss.differ(high, low) or not val_loss.trend(best) > 0:
        return
    course = f"The validation loss rose from {low:.3f} in epoch {best + 1} to {high:.3f}"
    lost = float(val_score.smooth[best]) - val_score.last
    if not train_loss.differ(float(train_loss.smooth[best]), train_loss.last):
        yield Fit("unstable", f"{course}, and that on train did not fall meanwhile: a lower learning rate may help.")
    elif lost > ERRORS * math.sqrt(2) * val_score.error:
        yield Fit("overfitting", f"{course} while that on train fell; {score} lost {lost:.3f} since.")
    else:
        yield Fit("over-confident", f"{course} while that on train fell, but {score} did not fall: the probabilities became too extreme.")  # fmt: skip


class _Curve:
    """A curve of (E,) values, smoothed by a running median, which single spikes do not move, over an eighth of the epochs."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        reach = max(1, len(values) // 16)
        self.width = 2 * reach + 1
        self.smooth = np.array([np.median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))])
        self.smooth[-reach:] = np.median(values[-self.width :])  # as sure as the others
        self.noise = _noise([values])
        if (
            len(values) >= 4 * FEWEST_EPOCHS
        ):  # neighbours may resemble each other; of fewer values every second one bends too much
            self.noise = max(self.noise, _noise([values[::2], values[1::2]]))
        self.error = self.noise * math.sqrt(math.pi / 2 / self.width)  # of a smoothed value
        self.last = float(self.smooth[-1])
        self.range = float(np.ptp(self.smooth))

    def differ(self, above: float, below: float) -> bool:
        """Whether a smoothed value is above another one, which may be the lowest of all, by more than chance."""
        chance = self._errors(CHANCE * self.width / len(self.values)) * math.sqrt(2) * self.error
        return above - below > max(chance, NEGLIGIBLE * self.range)

    def trend(self, start: int, chance: float = CHANCE) -> float:
        """Theil and Sen's slope per epoch from an epoch on; 0 where it may be chance."""
        from scipy.stats import theilslopes

        number = len(self.values) - start
        slope = float(theilslopes(self.values[start:]).slope)
        error = self.noise * math.sqrt(12 / (number**3 - number))
        return slope if abs(slope) > self._errors(chance) * error else 0.0

    def still_falls(self) -> bool:
        """Whether the curve falls in its last third, by more than a slight part of what it fell in all."""
        last = max(6, len(self.values) // 3)
        return (
            -self.trend(len(self.values) - last, CHANCE / 4) * last > SLIGHT * self.range
        )  # several curves are looked at

    def _errors(self, chance: float) -> float:
        """How many standard errors are exceeded with this chance; the noise is known as well as the epochs are many."""
        from scipy.special import stdtrit

        return float(stdtrit((len(self.values) - 3) / 2, 1 - chance))


def _noise(pieces: Sequence[np.ndarray]) -> float:
    """The standard deviation around a curve: third differences hold no trend and no bend; their weights' squares sum up to 20."""
    differences = np.concatenate([np.diff(piece, 3) for piece in pieces])
    return 1.4826 * float(np.median(np.abs(differences))) / math.sqrt(20) if len(differences) else 0.0
