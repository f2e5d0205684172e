import gzip
import json

import pytest
from torch import nn

from lightning_modules.networks.custom_cnn import CustomCNN

QUICK = (
    "trainer=cpu",
    "trainer.precision=32-true",
    "logger=csv",
    "data.num_workers=0",
    "data.image_size=[16,16]",
    "data.batch_size=8",
)


def multiply_adds(network, side):
    """Those of the convolutions and linear layers for one image, from the shapes of what goes in and comes out."""
    import torch

    counts = []

    def count(layer, _, out):
        counts.append(out.numel() * layer.weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    return sum(counts)


def test_a_profile_has_operations_parameters_phases_and_a_trace(run_command, image_folder):
    answer = run_command("train", "profile=true", "data=image_folder", f"data.root={image_folder}", *QUICK)
    assert answer.code == 0, answer.err
    found = json.loads((answer.folder / "profile" / "profile.json").read_text())
    network = CustomCNN(num_classes=3, image_size=(16, 16))
    assert found["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert found["forward_flops_per_image"] == 2 * multiply_adds(network, 16)
    # Each layer's gradients take as much again for its weights, and for its input, which the first one's images do not need.
    assert 2 < found["training_flops_per_image"] / found["forward_flops_per_image"] < 3
    phases = ["load", "transfer", "forward", "backward", "optimiser", "evaluate"]
    assert list(found["seconds"]) == phases
    assert all(found["seconds"][name] * found["images_per_second"][name] == pytest.approx(8) for name in phases)
    assert found["peak_memory_bytes"] > 4 * found["parameters"]
    events = json.loads(gzip.decompress((answer.folder / "profile" / "trace.json.gz").read_bytes()))["traceEvents"]
    assert {*phases} <= {event.get("name") for event in events}
    assert not list((answer.folder / "checkpoints").iterdir())
    assert json.loads((answer.folder / "status.json").read_text())["state"] == "finished"
    assert all(name in answer.out for name in phases)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("trainer=ddp_cpu",), "profile=true measures one device, not 2: type trainer.devices=1."),
        (("resume={root}",), "profile=true measures the first steps of a training; leave resume= out."),
    ],
)
def test_misfits_are_refused_and_leave_no_folder(run_command, image_folder, tmp_path, typed, message):
    typed = [each.format(root=image_folder) for each in typed]
    answer = run_command("train", "profile=true", "data=image_folder", f"data.root={image_folder}", *QUICK, *typed, f"hydra.run.dir={tmp_path / 'run'}")  # fmt: skip
    assert (answer.code, message in answer.err) == (2, True), answer.err
    assert not (tmp_path / "run").exists()


def test_mixed_images_are_measured_too(run_command, image_folder):
    answer = run_command("train", "profile=true", "data=image_folder", f"data.root={image_folder}", *QUICK, "aug.mixup=0.2", "optimizer.weight_decay_norms=false")  # fmt: skip
    assert answer.code == 0, answer.err
