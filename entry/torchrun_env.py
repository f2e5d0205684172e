"""What an outer launcher, such as torchrun, has told this process through its environment."""

import os


def launched() -> bool:
    """Whether this process is one of several that a launcher has started."""
    return "RANK" in os.environ and world_size() > 1


def rank() -> int:
    """This process's number among them, 0 where it is alone."""
    return int(os.environ["RANK"]) if launched() else 0


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))
