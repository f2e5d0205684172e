"""The one error of this room."""


class DatasetError(ValueError):
    """Data or data settings that make no sense; the message says what, where and what to do."""
