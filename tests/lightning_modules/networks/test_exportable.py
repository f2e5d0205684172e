"""A network that is rewritten to be exported for any size computes what it did."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lightning_modules.networks.custom_cnn import custom_cnn
from lightning_modules.networks.deeplabv3 import deeplabv3_mobilenet_v3_large
from lightning_modules.networks.exportable import ExportedGraph, adaptive_average, exportable
from lightning_modules.networks.libraries import SMPSegmenter, TimmClassifier


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (9, 16), (13, 3)])
@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (2, 3), (6, 6)])
def test_average_over_a_grid_is_torchs_adaptive_pooling(size, grid):
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = functional.adaptive_avg_pool2d(maps.double(), grid)
    assert adaptive_average(maps.double(), grid) == pytest.approx(expected, abs=1e-12)
    if size == grid:
        assert torch.equal(adaptive_average(maps, grid), maps)


NETWORKS = {
    "custom_cnn": lambda: custom_cnn(3, (24, 40)),
    "deeplabv3": lambda: deeplabv3_mobilenet_v3_large(3),
    "smp, padded to its stride, with TensorFlow's padding": lambda: SMPSegmenter(
        3, "Unet", "tu-tf_efficientnet_lite0", (32, 48)
    ),
    "smp, pooled to grids": lambda: SMPSegmenter(3, "PSPNet", "resnet18", (32, 48)),
    "timm, with TensorFlow's padding": lambda: TimmClassifier(3, "tf_efficientnet_lite0", (32, 32)),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_rewritten_network_computes_the_same_at_any_size(make):
    torch.manual_seed(0)
    network = make().eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    rewritten = exportable(network.double()).double()
    assert type(network) is not type(rewritten) or type(network).__name__ in ("DeepLabV3", "TimmClassifier")
    with torch.inference_mode():
        for size in ((32, 48), (33, 47), (64, 41)):
            images = torch.randn(2, 3, *size, dtype=torch.float64)
            assert rewritten(images) == pytest.approx(network(images), abs=1e-6)  # weights were float32 in between
    assert all(torch.equal(each.float(), before[name].float()) for name, each in network.state_dict().items())


class Means(nn.Module):
    """Logits of each pixel: its red, its green, and nothing."""

    def forward(self, images):
        return {"out": torch.stack([images[:, 0], images[:, 1], torch.full_like(images[:, 0], -9.0)], 1), "aux": images}


def test_the_graph_normalises_and_predicts_logits_or_classes():
    mean, inverse = torch.tensor([100.0, 50, 0]).view(1, 3, 1, 1), torch.tensor([0.1, 0.5, 1]).view(1, 3, 1, 1)
    images = torch.tensor([[[[120, 0]], [[54, 60]], [[0, 0]]]], dtype=torch.uint8)
    logits = ExportedGraph(Means(), mean, inverse)(images)
    assert logits[0, :, 0].numpy() == pytest.approx(np.array([[2, -10], [2, 5], [-9, -9]]))
    ids = ExportedGraph(Means(), mean, inverse, ids=True)(images)
    assert (ids.dtype, ids.tolist()) == (torch.int32, [[[0, 1]]])
    assert torch.equal(ExportedGraph(Means(), mean, inverse)(images.float()), logits)
