"""Fetching published weights into torch's own cache, without ever waiting long for a network that is not there."""

import hashlib
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import torch

from lightning_modules.errors import WeightsError

CONNECT_SECONDS = 5.0
STALLED_SECONDS = 30.0  # a download that brings nothing for so long has died


class NotReachableError(RuntimeError):
    """A file cannot be fetched now; the message says which and why."""


def cached_path(url: str) -> Path:
    """Where torch.hub keeps (or would keep) the file of an address; moved by the environment variable TORCH_HOME."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def fetch(url: str, timeout: float = CONNECT_SECONDS) -> Path:
    """The local file of an address whose name ends in the start of its SHA-256: the cached one, or downloaded.

    The download has a progress bar on stderr and goes to a temporary name that is renamed when its hash is right.

    Args:
        url: such as ``https://download.pytorch.org/models/resnet18-f37072fd.pth``.
        timeout: seconds in which the server must have answered, name look-up included.

    Raises:
        NotReachableError: neither cached nor to be had.
        WeightsError: the cached file is not what its name says.
    """
    file = cached_path(url)
    digest = _digest_in_name(file)
    if file.is_file():
        _check(file, digest)
        return file
    reason = _why_unreachable(url, timeout)
    if reason:
        raise NotReachableError(f"{url} cannot be reached ({reason})")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(STALLED_SECONDS):
            torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=True)
    # RuntimeError is torch.hub's word for a wrong hash; everything a connection can do is an OSError.
    except (OSError, RuntimeError) as error:
        raise NotReachableError(f"{url} could not be downloaded ({error})") from error
    return file


def _why_unreachable(url: str, timeout: float) -> str:
    """Ask for the first byte of a file. Returns why there was no answer in time, or nothing where there was one."""
    answer: list[str] = []

    def ask() -> None:
        opener = urllib.request.build_opener()  # knows the proxies of the environment, as the download does
        opener.addheaders = [("User-Agent", "torch.hub"), ("Range", "bytes=0-0")]
        try:
            opener.open(url, timeout=timeout).close()
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", None) or error))

    # A thread of its own, because a name look-up cannot be given a time limit.
    thread = threading.Thread(target=ask, daemon=True, name="weights-connection-check")
    thread.start()
    thread.join(timeout)
    return answer[0] if answer else f"no answer within {timeout:g} s"


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Let new sockets give up after so long: torch.hub takes no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _digest_in_name(file: Path) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.", file.name)
    assert found, f"{file.name} does not end in the start of its SHA-256"
    return found[1]


def _check(file: Path, digest: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(digest):
        raise WeightsError(
            f"{file} is damaged: its SHA-256 starts with {found[: len(digest)]}, not {digest}; delete it and start again"
        )
