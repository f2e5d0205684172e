"""Errors for the user."""


class WeightsError(ValueError):
    """Weights are not available or do not fit; the message names them, the reason and what to do."""


class TrainingError(RuntimeError):
    """Training or an evaluation cannot continue; the message names the step or sample, and the reason."""


class NetworkError(ValueError):
    """A network cannot be built, or does not take such images; the message names the key, the reason and what to do."""
