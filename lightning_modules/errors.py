"""The errors of this room."""


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; the message says which, why and what to do."""


class TrainingError(RuntimeError):
    """Training, or an evaluation, cannot go on; the message says at which step or sample, and why."""
