"""A Lightning module around any small network."""

from functools import partial

import torch

from label_spaces.space import LabelSpace
from lightning_modules import schedules
from lightning_modules.losses import CrossEntropy

SPACE = LabelSpace("tiny", ("a", "b", "c"))


def made(make, network, **settings):
    return make(
        network=network, label_space=SPACE, normalisation=((0.0,) * 3, (1.0,) * 3),
        optimizer=partial(torch.optim.SGD, lr=0.1), scheduler=schedules.constant, **{"loss": CrossEntropy(3), **settings},
    ).eval()  # fmt: skip
