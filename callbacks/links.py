"""A second name for a file."""

import os
import shutil
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """Hard-link a file, replacing the target; copy it if the file system has no links."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # renaming one link onto another of the same file does nothing
