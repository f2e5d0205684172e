import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datamodules.files.audit
from datamodules.files.audit import (
    LARGEST,
    Finding,
    audit,
    core_count,
    core_share,
    inspect_image,
    only_maker,
    remember,
)

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for number, size in enumerate([(4, 6), (5, 5), (7, 3)]):
        Image.fromarray(np.full((*size, 3), number, np.uint8)).save(root / f"{number}.png")
    (root / "text.jpg").write_text("no image")
    (root / "empty.jpg").touch()
    return root


NAMES = ["2.png", "0.png", "1.png", "text.jpg", "empty.jpg", "gone.jpg"]


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded."""
    names = []

    def spy(path, stamp):
        names.append(path.name)
        return inspect_image(path, stamp)

    monkeypatch.setattr(datamodules.files.audit, "inspect_image", spy)
    return names


def test_all_findings_come_at_once_in_the_order_given(folder, tmp_path):
    findings = audit(folder, NAMES, tmp_path / "cache")
    assert list(findings) == NAMES
    first = (folder / "0.png").stat()
    digest = hashlib.blake2b((folder / "0.png").read_bytes(), digest_size=16).hexdigest()
    assert findings["0.png"] == Finding(first.st_size, first.st_mtime_ns, digest, 4, 6, None)
    assert [findings[name].error is None for name in NAMES] == [True, True, True, False, False, False]
    assert "not an image" in findings["text.jpg"].error
    assert "empty file" in findings["empty.jpg"].error
    assert "No such file" in findings["gone.jpg"].error


def test_a_second_audit_reads_only_what_is_new_changed_or_broken(folder, tmp_path, decoded):
    first = audit(folder, NAMES, tmp_path / "cache")
    decoded.clear()
    again = audit(folder, NAMES, tmp_path / "cache")
    assert sorted(decoded) == ["empty.jpg", "text.jpg"]
    assert again == first
    decoded.clear()
    Image.new("RGB", (9, 9)).save(folder / "1.png")
    Image.new("RGB", (2, 2)).save(folder / "new.png")
    os.utime(folder / "1.png", ns=(1, 1))
    findings = audit(folder, ["0.png", "1.png", "new.png"], tmp_path / "cache")
    assert sorted(decoded) == ["1.png", "new.png"]
    assert (findings["1.png"].height, findings["new.png"].height) == (9, 2)


def test_a_broken_memory_is_ignored(folder, tmp_path, decoded):
    cache = tmp_path / "cache"
    expected = audit(folder, NAMES, cache)
    (memory,) = cache.iterdir()
    written, (_, stored) = memory.read_bytes(), json.loads(memory.read_text())
    texts = (b"", b"{", b"[]", b'{"pillow": 1}', b"[" * 10**5, b"\xff" + written, written[:-1], written + b" ")
    one_taller = written.replace(b", 5, 5, null", b", 9, 5, null", 1)  # whose checksum is another one
    assert one_taller != written
    for text in (*texts, one_taller):
        memory.write_bytes(text)
        decoded.clear()
        assert audit(folder, NAMES, cache) == expected
        assert {"0.png", "1.png", "2.png"} <= set(decoded)
    remember(memory, stored | {"pillow": "0.1"})
    decoded.clear()
    assert audit(folder, NAMES, cache) == expected
    assert {"0.png", "1.png", "2.png"} <= set(decoded)


def test_two_roots_have_two_memories_and_an_unwritable_one_does_no_harm(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (3, 3)).save(other / "0.png")
    audit(folder, ["0.png"], tmp_path / "cache")
    assert audit(other, ["0.png"], tmp_path / "cache")["0.png"].height == 3
    assert len(list((tmp_path / "cache").iterdir())) == 2
    (tmp_path / "file").touch()
    assert audit(folder, ["0.png"], tmp_path / "file")["0.png"].height == 4


def test_an_interrupted_audit_is_continued(folder, tmp_path, decoded):
    def interrupted(path, stamp):
        if path.name == "1.png":
            raise KeyboardInterrupt
        return inspect_image(path, stamp)

    with pytest.raises(KeyboardInterrupt):
        audit(folder, NAMES[:3], tmp_path / "cache", inspect=interrupted)
    audit(folder, NAMES[:3], tmp_path / "cache")
    assert decoded == ["1.png"]


def test_what_is_no_file_and_names_that_are_not_text_are_findings(folder, tmp_path):
    os.mkfifo(folder / "pipe.jpg")  # reading it would wait for ever
    (folder / "folder.jpg").mkdir()
    odd = os.fsdecode(b"\xff.png")
    findings = audit(folder, ["pipe.jpg", "folder.jpg", odd], tmp_path / "cache")
    assert findings["pipe.jpg"].error == findings["folder.jpg"].error == "not a regular file of up to 2147483648 bytes"
    assert "not valid UTF-8" in findings[odd].error


def test_a_file_that_is_larger_than_any_image_is_not_read(folder, tmp_path):
    with (folder / "huge.png").open("wb") as file:
        file.truncate(LARGEST + 1)  # takes no room on the disk
    assert "not a regular file of up to" in audit(folder, ["huge.png"], tmp_path / "cache")["huge.png"].error


def test_a_bar_shows_on_stderr_only_where_it_takes_long(folder, tmp_path, monkeypatch, capsys):
    audit(folder, NAMES, tmp_path / "cache")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(datamodules.files.audit, "PATIENCE", 0)
    audit(folder, NAMES, tmp_path / "cache2")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Checking images" in shown.err


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 8 cores, and a function that writes its files; without SLURM."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name in ("SLURM_CPUS_PER_TASK", "RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


V1 = "11:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n1:name=systemd:/docker/1f\n"
CPU_V1 = "sys/fs/cgroup/cpu,cpuacct/"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),  # docker run --cpus=2
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),  # never more than is granted
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "3200000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 3),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000", "sys/fs/cgroup/a/b/cpu.max": "400000 100000"}, 3),
        ({"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": V1, CPU_V1 + "docker/1f/cpu.cfs_quota_us": "400000\n", CPU_V1 + "docker/1f/cpu.cfs_period_us": "100000\n"}, 4),
        ({"proc/self/cgroup": V1, CPU_V1 + "cpu.cfs_quota_us": "250000\n", CPU_V1 + "cpu.cfs_period_us": "50000\n"}, 5),  # seen from within
        ({"proc/self/cgroup": V1, CPU_V1 + "cpu.cfs_quota_us": "-1\n", CPU_V1 + "cpu.cfs_period_us": "100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 8),
    ],
)  # fmt: skip
def test_a_containers_quota_limits_the_cores(machine, files, cores):
    assert core_count(machine(files)) == cores


@pytest.mark.parametrize(("share", "cores"), [("3", 3), ("16", 8), ("", 8), ("many", 8)])
def test_slurms_share_of_a_task_limits_the_cores(machine, monkeypatch, share, cores):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", share)
    assert core_count(machine({})) == cores


def test_processes_divide_the_cores_of_a_machine_but_not_those_of_a_task_of_their_own(machine, monkeypatch):
    monkeypatch.setattr("datamodules.files.audit.core_count", lambda: 6)
    assert [core_share(processes) for processes in (1, 2, 4, 10)] == [6, 3, 1, 1]
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert core_share(2) == 3  # both are started within one task
    monkeypatch.setenv("RANK", "1")
    assert core_share(2) == 6  # srun has started each as a task
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert core_share(2) == 3


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_locks(request, monkeypatch):
    """A file system on which locks fail, as Lustre mounted without flock and NFS without its lock service."""

    def fail(*_):
        raise OSError(request.param, os.strerror(request.param))

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, fail)


def together(count, function):
    """Call a function in several processes at once, and return how each ended."""
    barrier = FORK.Barrier(count)

    def start():
        barrier.wait(60)
        function()

    processes = [FORK.Process(target=start) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_of_many_processes_one_makes_it_where_no_locks_exist(tmp_path, no_locks):
    path, makers = tmp_path / "whole", FORK.Value("i", 0)

    def make():
        with only_maker(path, path.exists):
            if not path.exists():
                with makers.get_lock():
                    makers.value += 1
                time.sleep(0.1)
                path.touch()

    assert together(8, make) == [0] * 8
    assert makers.value == 1
    assert [*tmp_path.iterdir()] == [path]


def killed_maker(path, host):
    """A process that began to make a file, and was killed."""
    reached = FORK.Event()

    def begin():
        socket.gethostname = lambda: host
        with only_maker(path, path.exists):
            (path.parent / f".{path.name}.1.tmp").touch()
            (path.parent / f".{path.name}.2.tmp").mkdir()
            reached.set()
            time.sleep(600)

    process = FORK.Process(target=begin)
    process.start()
    assert reached.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize("host", [socket.gethostname(), "another-node"])
def test_another_process_takes_over_from_one_that_was_killed(tmp_path, no_locks, host, monkeypatch):
    monkeypatch.setattr(datamodules.files.audit, "LEASE_SECONDS", 60.0 if host == socket.gethostname() else 1.0)
    path, makers = tmp_path / "whole", FORK.Value("i", 0)
    killed_maker(path, host)
    assert len([*tmp_path.iterdir()]) == 3

    def make():
        with only_maker(path, path.exists):
            if not path.exists():
                with makers.get_lock():
                    makers.value += 1
                assert not [*tmp_path.glob("*.tmp")]
                path.touch()

    assert together(3, make) == [0] * 3
    assert makers.value == 1
    assert [*tmp_path.iterdir()] == [path]


def test_nothing_is_waited_for_where_nothing_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    entered = []
    with only_maker(tmp_path / "file" / "below", lambda: False):
        entered.append(True)
    assert entered


def test_of_many_processes_each_file_is_read_by_one(folder, tmp_path, no_locks):
    reads = FORK.Value("i", 0)

    def read(path, stamp):
        with reads.get_lock():
            reads.value += 1
        return inspect_image(path, stamp)

    good = NAMES[:3]
    found = FORK.Queue()
    work = lambda: found.put(audit(folder, good, tmp_path / "cache", inspect=read))  # noqa: E731
    assert together(4, work) == [0] * 4
    assert [found.get(timeout=60) for _ in range(4)] == [audit(folder, good, tmp_path / "cache")] * 4
    assert reads.value == 3
    assert len([*Path(tmp_path, "cache").iterdir()]) == 1
