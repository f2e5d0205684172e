"""What tests of several processes share."""

import pytest

from tests.entry.distributed.test_supervisor import free_port


@pytest.fixture
def ranks(monkeypatch):
    """A function that makes this process the rank of a number of ranks."""
    port = str(free_port())

    def be(rank, count, port=port):
        for name, value in {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():  # fmt: skip
            monkeypatch.setenv(name, str(value))
        return f"127.0.0.1:{port}"

    return be
