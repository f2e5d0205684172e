"""What a command was asked for."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Args:
        config: everything composed, interpolations still open.
        overrides: what was typed, without Hydra's own keys.
        folder: where the results go.
        folder_was_typed: whether that was asked for, or is the default name.
    """

    config: DictConfig
    overrides: tuple[str, ...]
    folder: Path
    folder_was_typed: bool
