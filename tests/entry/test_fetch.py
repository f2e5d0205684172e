"""python train.py … fetch_only=true: the weights into the cache, the embedded data made, nothing trained."""

import threading
from pathlib import Path

import pytest

from lightning_modules.weights import load
from lightning_modules.weights.load import PublishedWeights
from tests.lightning_modules.weights.test_load_download import CONTENT, NAME, Server

FETCH = ("fetch_only=true", "data=image_folder", "model=resnet18")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(monkeypatch):
    """A stand-in for torchvision's server; it alone has weights."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(load, "published_weights", lambda *_: PublishedWeights(running.url(), 1000))
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("typed", [("model.weights=imagenet",), ("model.weights=coco_voc",), ()])
def test_weights_are_fetched_once_and_where_they_are_is_printed(
    run_command, server, cache, image_folder, tmp_path, typed
):
    for _ in range(2):
        answer = run_command("train", *FETCH, f"data.root={image_folder}", *typed)
        assert (answer.code, answer.out) == (0, f"weights: {cache / NAME}\n"), answer.err
        asked = server.asked
    assert (cache / NAME).read_bytes() == CONTENT
    assert asked == 2  # the first byte, and the file
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("typed", [(), ("model.weights=imagenet",)])
def test_weights_that_cannot_be_had_are_an_error_with_the_path(
    run_command, server, cache, image_folder, tmp_path, typed
):
    server.status = 404
    answer = run_command("train", *FETCH, f"data.root={image_folder}", *typed)
    assert (answer.code, answer.out) == (2, "")
    assert "model.weights=imagenet: http://127.0.0.1:" in answer.err
    assert f"Type this where there is a connection, or put the file at {cache / NAME}" in answer.err
    assert not (tmp_path / "runs").exists()


def test_embedded_data_is_made_and_what_needs_no_download_is_said(run_command, tmp_path):
    root = tmp_path / "streets"
    answer = run_command("train", "fetch_only=true", f"data.root={root}", "+data.options={drives:2,frames_per_drive:1}")
    assert answer.code == 0, answer.err
    weights, data = answer.out.splitlines()
    assert (
        weights == "weights: nothing to download, custom_cnn trains from scratch: there are no ImageNet weights for it"
    )
    made = Path(data.removeprefix("data: "))
    assert made.parent == root
    assert len(list(made.rglob("*_leftImg8bit.*"))) == 2
    assert not (tmp_path / "runs").exists()


def test_nothing_is_published_under_a_name_that_was_typed(run_command, image_folder):
    answer = run_command(
        "train", "fetch_only=true", "data=image_folder", f"data.root={image_folder}", "model.weights=imagenet"
    )
    assert answer.code == 2
    assert (
        "there are no ImageNet weights for custom_cnn, only for models of torchvision; use model.weights=none"
        in answer.err
    )


def test_weights_of_ones_own_are_there_already(run_command, image_folder, tmp_path):
    (tmp_path / "own.pth").touch()
    answer = run_command("train", *FETCH, f"data.root={image_folder}", f"model.weights={tmp_path / 'own.pth'}")
    assert (answer.code, answer.out) == (0, f"weights: nothing to download for model.weights={tmp_path / 'own.pth'}\n")


def test_a_run_that_is_resumed_fetches_nothing(run_command, tmp_path):
    answer = run_command("train", "fetch_only=true", f"resume={tmp_path}")
    assert (answer.code, answer.err.count("fetch_only=true with resume=")) == (2, 1)
