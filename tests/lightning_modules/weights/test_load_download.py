import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lightning_modules.errors import WeightsError
from lightning_modules.weights import load
from lightning_modules.weights.load import NotReachableError, cached_path, fetch

CONTENT = b"weights " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
NAME = f"tiny-{DIGEST}.pth"


class Server(ThreadingHTTPServer):
    """A stand-in for the weights' server that serves some bytes under every name and counts the questions."""

    daemon_threads = True
    content, status, shortened = CONTENT, 200, False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = 0

    def url(self, name=NAME):
        return f"http://127.0.0.1:{self.server_port}/models/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: len(self.server.content) // (2 if self.server.shortened else 1)])

    def log_message(self, *_):
        """Keep the test's output quiet."""


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub" / "checkpoints"


def put(cache, content):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(content)


def test_downloads_once_and_then_uses_the_cache(server, cache):
    assert fetch(server.url()) == cache / NAME == cached_path(server.url())
    assert (cache / NAME).read_bytes() == CONTENT
    asked = server.asked
    assert fetch(server.url()) == cache / NAME
    assert server.asked == asked
    assert socket.getdefaulttimeout() is None


def test_a_cached_file_needs_no_connection(cache):
    put(cache, CONTENT)
    assert fetch(f"http://127.0.0.1:9/{NAME}", timeout=0.01) == cache / NAME


def test_a_damaged_cached_file_is_named(cache):
    put(cache, CONTENT[:-1])
    with pytest.raises(WeightsError, match=rf"{NAME} is damaged: .* not {DIGEST}; delete it"):
        fetch(f"http://127.0.0.1:9/{NAME}", timeout=0.01)


@pytest.mark.parametrize("flaw", [{"content": b"something else"}, {"shortened": True}])
def test_a_wrong_or_broken_download_leaves_nothing(server, cache, flaw):
    for name, value in flaw.items():
        setattr(server, name, value)
    with pytest.raises(NotReachableError, match="could not be downloaded"):
        fetch(server.url())
    assert list(cache.iterdir()) == []


def test_a_server_without_the_file(server):
    server.status = 404
    with pytest.raises(NotReachableError, match=r"cannot be reached \(.*Not Found\)"):
        fetch(server.url())


def test_a_refused_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(NotReachableError, match="refused"):
            fetch(f"http://127.0.0.1:{free.getsockname()[1]}/{NAME}")


def test_a_server_that_never_answers_is_given_up_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        with pytest.raises(NotReachableError, match=r"no answer within 0\.2 s|timed out"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}", timeout=0.2)
        assert time.monotonic() - begun < 2


def test_a_name_lookup_that_hangs_is_given_up_in_time(monkeypatch):
    over = threading.Event()

    def hanging(*_, **__):
        over.wait(30)
        raise OSError("over")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    begun = time.monotonic()
    with pytest.raises(NotReachableError, match=r"no answer within 0\.2 s"):
        fetch(f"http://weights.example/{NAME}", timeout=0.2)
    assert time.monotonic() - begun < 2
    over.set()


def test_a_download_that_stalls_is_given_up(server, cache, monkeypatch):
    let_go = threading.Event()

    def stall(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.flush()
        let_go.wait(30)

    monkeypatch.setattr(load, "STALLED_SECONDS", 0.2)
    monkeypatch.setattr(Handler, "do_GET", stall)
    with pytest.raises(NotReachableError, match="could not be downloaded"):
        fetch(server.url())
    let_go.set()
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_said(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(NotReachableError, match="could not be downloaded"):
        fetch(server.url())
