import pickle

import pytest
import torch

from lightning_modules.checkpoint_io import CheckpointFiles
from lightning_modules.weights.safe_load import damage


def test_what_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint({"step": 1}, path)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        CheckpointFiles().save_checkpoint({"step": lambda: 2}, path)
    assert CheckpointFiles().load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    """Everywhere in the file: what is not noticed must be bytes that mean nothing, such as padding between records."""
    path = tmp_path / "last.ckpt"
    state = {"weights": torch.arange(300.0), "step": 7, "names": ["a", "b"]}
    CheckpointFiles().save_checkpoint(state, path)
    assert damage(path) is None
    whole = path.read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
        if damage(path) is not None:
            noticed += 1
            continue
        read = CheckpointFiles().load_checkpoint(path)
        assert torch.equal(read["weights"], state["weights"])
        assert (read["step"], read["names"]) == (7, ["a", "b"])
    assert noticed > 100


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_file_that_was_cut_short_is_noticed(tmp_path, kept):
    path = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint({"weights": torch.arange(300.0)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    assert damage(path)
