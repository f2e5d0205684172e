"""Train for 2,000 short epochs and print what has grown since the 200th: python -m tests.soak."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.soak.harness import grown, soak


def main() -> int:
    """Return 0 where nothing has grown by more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=200)
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        before, after = soak(Path(folder), typed.epochs, typed.first)
        os.chdir("/")
    for each in (before, after):
        print(each)
    found = grown(before, after)
    print(f"grown by more than it may: {', '.join(found) or 'nothing'}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
