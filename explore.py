"""Explore a dataset before any training: python explore.py data=idd data.root=DIR."""

from entry.cli.command import command
from entry.request import Request


@command("explore")
def explore(request: Request) -> None:
    """Read all images and masks once, and write what is in them, and what is wrong, as explore.json and as a page."""
    # What makes no sense is refused before torch is imported, which takes seconds.
    from entry.config.exploration import settings_of

    settings = settings_of(request)
    from entry import exploration

    print(exploration.explore(request, settings), flush=True)


if __name__ == "__main__":
    explore()
