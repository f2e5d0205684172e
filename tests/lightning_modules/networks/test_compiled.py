"""torch.compile in training alone; the compiler of the tests is torch's own interpreter of what it has traced, which needs no C++."""

import copy

import pytest
import torch
from torch import nn

from lightning_modules.errors import NetworkError
from lightning_modules.networks import compiled as compiling
from lightning_modules.networks.compiled import compiled, compiler


class Network(nn.Module):
    """With a forward of its own: torch 2.11 compiles none of a network that consists of torch's own classes alone."""

    def __init__(self):
        super().__init__()
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 4)
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        return self.layers(images)


def network():
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def traced(monkeypatch):
    """How often a graph was handed to the compiler, and how often one was run."""
    counts = {"compiled": 0, "run": 0}

    def backend(graph, inputs):
        counts["compiled"] += 1

        def run(*values):
            counts["run"] += 1
            return graph.forward(*values)

        return run

    own = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: own(self, backend=backend, **options))
    return counts


def test_training_runs_what_was_compiled_and_evaluation_does_not(traced):
    plain = network()
    trained = copy.deepcopy(plain)
    compiled(trained)
    images = torch.rand(2, 3, 8, 8)
    for each in (plain, trained):
        each(images).sum().backward()
    assert (traced["compiled"], traced["run"]) == (1, 1)
    for one, other in zip(plain.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    plain.eval(), trained.eval()
    assert torch.equal(plain(images), trained(images))
    assert (traced["compiled"], traced["run"]) == (1, 1)


def test_names_of_weights_stay_and_a_copy_is_a_plain_network(traced):
    plain, trained = network(), network()
    compiled(trained)
    assert list(trained.state_dict()) == list(plain.state_dict())
    assert type(trained).__module__ == type(plain).__module__
    copied = copy.deepcopy(trained)
    copied(torch.rand(2, 3, 8, 8))
    assert traced["compiled"] == 0


def test_each_shape_is_compiled_by_itself(traced):
    trained = network()
    compiled(trained)
    for samples in (2, 3, 2, 3):
        trained(torch.rand(samples, 3, 8, 8))
    assert (traced["compiled"], traced["run"]) == (2, 4)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(NetworkError, match=r"trainer\.compile=true.*apt install g\+\+"):
        compiled(network())


def test_the_compiler_that_cxx_names_comes_first(monkeypatch):
    monkeypatch.setenv("CXX", "my-compiler")
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/bin/{name}")
    assert compiler() == "/bin/my-compiler"
