"""The file of each format holds the network itself, in a form that other tools read."""

import pytest
import torch

from entry.builders.modules import build_module
from entry.config.resolve import resolved
from entry.export.formats import traced, write_file
from label_spaces.space import LabelSpace
from lightning_modules.networks.program_file import read_program
from settings.export import ExportKeys
from tests.entry.config.test_resolve import request
from tests.entry.test_model import SHARED

SPACE = LabelSpace("image_folder", ("blue", "green", "red"))


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    typed = (*SHARED, "data=image_folder", "data.root=.", "data.image_size=[32,48]", "model.mean=[0.5,0.4,0.3]")
    return build_module(resolved(request(tmp_path_factory.mktemp("run"), *typed)), SPACE, "none")[0].eval()


def test_safetensors_hold_the_weights_bit_for_bit(module, tmp_path):
    from safetensors.torch import load_file

    write_file(tmp_path / "model.safetensors", module, ExportKeys(), (32, 48), {})
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == module.network.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in module.network.state_dict().items())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_program_takes_images_as_they_are(module, dtype, tmp_path):
    write_file(tmp_path / "model.pt2", module, ExportKeys(format="torch_export", input=dtype), (32, 48), {})
    program = read_program(tmp_path / "model.pt2")
    images = torch.randint(0, 256, (3, 3, 40, 52)).to(getattr(torch, dtype))
    with torch.inference_mode():
        assert program.module()(images) == pytest.approx(module(images), abs=1e-5)


def test_a_fixed_shape_takes_one_image_of_one_size(module):
    program = traced(module, ExportKeys(format="torch_export", shape="fixed"), (32, 48))
    assert program.module()(torch.zeros(1, 3, 32, 48, dtype=torch.uint8)).shape == (1, 3)
    with pytest.raises((AssertionError, RuntimeError)):
        program.module()(torch.zeros(2, 3, 32, 48, dtype=torch.uint8))
