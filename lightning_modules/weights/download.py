"""Downloading published weights into torch's own cache, with a short timeout when offline."""

import hashlib
import re
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import torch

from lightning_modules.errors import WeightsError

CONNECT_SECONDS = 5.0
STALLED_SECONDS = 30.0  # without any data for so long, a download has failed


class NotReachableError(RuntimeError):
    """A file cannot be downloaded now; the message names it and the reason."""


def cached_path(url: str) -> Path:
    """Return the path of a file in torch.hub's cache, which the environment variable TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def fetch(url: str, timeout: float = CONNECT_SECONDS) -> Path:
    """Return the local file of a URL whose name ends in the start of its SHA-256, downloading it if it is not cached.

    The download shows a progress bar on stderr and gets its final name once its hash is verified. `timeout` is in seconds
    for the server's first answer, including name resolution. Raises NotReachableError if the file is not cached and
    cannot be downloaded, and WeightsError if the cached file does not have the SHA-256 in its name.
    """
    file = cached_path(url)
    named = re.search(r"-([0-9a-f]{8,})\.", file.name)
    assert named, f"{file.name} does not end in the start of its SHA-256"
    digest = named[1]
    if file.is_file():
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()[: len(digest)]
        if found != digest:
            raise WeightsError(
                f"{file} is damaged: its SHA-256 starts with {found}, not {digest}; delete it and start again"
            )
        return file
    reason = _why_unreachable(url, timeout)
    if reason:
        raise NotReachableError(f"{url} cannot be reached ({reason})")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED_SECONDS)  # torch.hub has no parameter for it
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=True)
    # torch.hub raises RuntimeError for a wrong hash; connections fail with an OSError.
    except (OSError, RuntimeError) as error:
        raise NotReachableError(f"{url} could not be downloaded ({error})") from error
    finally:
        socket.setdefaulttimeout(before)
    return file


def _why_unreachable(url: str, timeout: float) -> str:
    """Request the first byte of a file. Returns why there was no answer in time, or an empty text."""
    answer: list[str] = []

    def request() -> None:
        opener = urllib.request.build_opener()  # uses the environment's proxies, as the download does
        opener.addheaders = [("User-Agent", "torch.hub"), ("Range", "bytes=0-0")]
        try:
            opener.open(url, timeout=timeout).close()
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", None) or error))

    # In a thread, because name resolution has no timeout.
    thread = threading.Thread(target=request, daemon=True, name="weights-connection-check")
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else f"no answer within {timeout:g} s"
