"""One optimiser step is the same, whoever shares it: devices, accumulated batches, uneven parts, weights, void, two heads."""

import os
from functools import partial

import lightning
import pytest
import torch
import torch.multiprocessing as processes
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models

from datamodules.loading.dataset import TrainingBatches, collate
from label_spaces.space import LabelSpace
from lightning_modules import schedules
from lightning_modules.classification import ClassificationModule
from lightning_modules.losses import CrossEntropy, TrainingLoss
from lightning_modules.mixed_loss import MixedLoss
from lightning_modules.segmentation import SegmentationModule
from tests.lightning_modules.tiny import made

SPACE = LabelSpace("tiny", ("a", "b", "c"))
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])
BATCH, COUNT, LR = 12, 29, 0.1  # the last step has 5 samples


class Samples(torch.utils.data.Dataset):
    def __init__(self, task):
        self.task = task

    def __getitem__(self, key):
        noise = torch.Generator().manual_seed(key.sample)
        image = torch.randint(0, 256, (3, 6, 6), generator=noise, dtype=torch.uint8)
        target = key.sample % 4  # 3 is void
        if self.task == "segmentation":  # the later the sample, the more of it is void
            mask = torch.randint(0, 3, (6, 6), generator=noise, dtype=torch.uint8)
            target = torch.where(torch.rand((6, 6), generator=noise) < key.sample / COUNT, 3, mask)
        if self.task == "mixed":
            mixed = {"partner": key.sample // 3 % 3, "lambda": torch.tensor(key.sample / COUNT)}
            return {"image": image, "target": key.sample % 3, "index": key.sample, "counted": key.counted, **mixed}
        return {"image": image, "target": target, "index": key.sample, "counted": key.counted}


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.main, self.auxiliary = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)

    def forward(self, images):
        features = self.body(images).relu()
        return (self.main(features), self.auxiliary(features)) if self.training else self.main(features)


def loader(task, rank, ranks, accumulate):
    batches = TrainingBatches(range(COUNT), BATCH, 0, 0, rank=rank, world_size=ranks, accumulate=accumulate)
    return DataLoader(Samples(task), batch_sampler=batches, collate_fn=collate)


def module(task, ranks, accumulate):
    torch.manual_seed(0)
    loss = CrossEntropy(3, WEIGHTS, 0.1)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    make, network, loss = {
        "classification": (ClassificationModule, plain, loss),
        "mixed": (ClassificationModule, plain, MixedLoss(loss, 3)),
        "segmentation": (SegmentationModule, TwoHeads(), TrainingLoss(loss, 3, 0.4)),
    }[task]
    return make(
        network=network, label_space=SPACE, normalisation=((0.5,) * 3, (0.3,) * 3), loss=loss,
        optimizer=partial(torch.optim.SGD, lr=LR, momentum=0.9, fused=True),
        scheduler=schedules.constant,
        share=BATCH // (ranks * accumulate),
    )  # fmt: skip


def fit(rank, task, ranks, accumulate, port, results):
    """Train an epoch of three steps; what the first rank ends with."""
    torch.set_num_threads(1)
    if ranks > 1:
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
        )
    learner = module(task, ranks, accumulate)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=ranks, max_epochs=1, accumulate_grad_batches=accumulate, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, gradient_clip_val=5.0,
        strategy=DDPStrategy(process_group_backend="gloo") if ranks > 1 else "auto",
        plugins=[TorchElasticEnvironment()] if ranks > 1 else None,
    )  # fmt: skip
    trainer.fit(learner, loader(task, rank, ranks, accumulate))
    loss, weight = learner.epoch_loss_of_ranks().sum(0).tolist()
    if rank == 0:
        results.put(([p.detach().numpy().tolist() for p in learner.parameters()], loss / weight, trainer.global_step))
    if ranks > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def trained(task, ranks, accumulate, port):
    results = processes.get_context("spawn").SimpleQueue()
    processes.spawn(fit, (task, ranks, accumulate, port, results), nprocs=ranks)
    weights, loss, steps = results.get()
    return [torch.tensor(values) for values in weights], loss, steps


def by_hand(task):
    """The same three steps without any framework, on whole batches; an auxiliary head's mean counts 0.4."""
    learner = module(task, 1, 1)
    optimizer = torch.optim.SGD(learner.parameters(), lr=LR, momentum=0.9)
    total, count = 0.0, 0.0
    for batch in loader(task, 0, 1, 1):
        target, logits = batch["target"].long(), learner(batch["image"])
        heads = zip(logits, (1.0, 0.4), strict=True) if task == "segmentation" else [(logits, 1.0)]
        weight = WEIGHTS[target[target < 3]].sum()
        if task == "mixed":  # torch divides by the number of images where classes have probabilities
            own, other = (nn.functional.one_hot(batch[name], 3) for name in ("target", "partner"))
            target = batch["lambda"][:, None] * own + (1 - batch["lambda"][:, None]) * other
            weight = (target @ WEIGHTS).sum()
            loss = nn.functional.cross_entropy(logits, target, WEIGHTS, reduction="sum", label_smoothing=0.1) / weight
        else:
            loss = sum(
                part * nn.functional.cross_entropy(head, target, WEIGHTS, ignore_index=3, label_smoothing=0.1)
                for head, part in heads
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimizer.step()
        total, count = total + loss.item() * weight.item(), count + weight.item()
    return [p.detach() for p in learner.parameters()], total / count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "ranks", "accumulate"),
    [("classification", *parts) for parts in [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2), (4, 3)]]
    + [("segmentation", 1, 1), ("segmentation", 2, 3), ("mixed", 1, 1), ("mixed", 2, 3)],
)
def test_any_sharing_gives_the_steps_of_one_device(task, ranks, accumulate):
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    expected, expected_loss = by_hand(task)
    weights, loss, steps = trained(task, ranks, accumulate, port)
    assert steps == 3
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for found, wanted in zip(weights, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "build", "heads"),
    [
        (SegmentationModule, partial(models.segmentation.lraspp_mobilenet_v3_large, weights_backbone=None), 1),
        (ClassificationModule, partial(models.googlenet, init_weights=False), 3),
    ],
)
def test_torchvisions_models_that_return_a_dict_or_a_tuple_train_and_evaluate(make, build, heads):
    """Dicts of segmentation models, and tuples of classifiers with auxiliary heads."""
    network = build(num_classes=3)
    learner = made(make, network, loss=TrainingLoss(CrossEntropy(3), 3, 0.4))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    target = torch.randint(0, 3, (2, 32, 32) if make is SegmentationModule else (2,))
    output = learner.train()(images)
    assert (len(output) if isinstance(output, tuple) else 1) == heads
    total, weight = learner.training_loss(output, target)
    (total / weight).backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    batch = {"image": images, "target": target, "index": torch.arange(2), "counted": True}
    with torch.no_grad():
        found = learner.eval().evaluate_batch(batch, "test")
    assert (found["prediction"].shape, found["finite"].tolist()) == (target.shape, [True, True])
