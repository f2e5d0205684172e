"""The command line: Hydra, what it may build, and its error messages."""

import importlib
import sys

try:
    importlib.import_module("fcntl")  # locks of folders and caches; Windows has none
except ImportError:
    sys.stderr.write(
        "idd-lightning needs Linux; macOS is enough to try it on one CPU. On Windows, install WSL (wsl --install) and type the "
        "same command there.\n"
    )
    sys.exit(2)
