import pickle

import pytest
import torch

from callbacks.checkpoints import AtomicCheckpointIO, best_and_last
from tests.callbacks.tiny import Line, loader, trainer


def test_best_and_last_are_kept_and_plain(tmp_path):
    run = trainer(
        tmp_path,
        best_and_last(tmp_path, "val/f1_macro"),
        epochs=4,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=True,
    )
    run.fit(Line(), loader(), loader())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    epochs = {p.stem: torch.load(p, weights_only=True)["epoch"] for p in tmp_path.iterdir()}
    assert epochs == {"best": 1, "last": 3}  # the scores were 0.3, 0.9, 0.5, 0.6


def test_what_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        AtomicCheckpointIO().save_checkpoint({"step": lambda: 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
