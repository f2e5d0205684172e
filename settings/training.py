"""`trainer`, `ema`, `early_stopping`, `checkpointing` and `logger`: on which hardware and how long a run trains, and what it records."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from settings.base import Group, Legal, Number, PathText, Positive, Share, Text, Whole

Precision = Literal["auto", "32-true", "bf16-mixed", "bf16-true", "16-mixed", "64-true"]


class TrainerSettings(Group):
    """`trainer`: hardware, precision and length of a run."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field(
        "auto", description="auto: a GPU where there is one, Apple's too (mps)"
    )
    devices: Positive | Literal["auto"] = Field(1, description="devices per node; auto: every visible GPU, or one CPU")
    num_nodes: Positive = Field(1, description="machines; more than one needs SLURM or torchrun")
    precision: Precision = Field(
        "auto", description="auto: bf16-mixed where hardware has it, else 16-mixed on GPUs since Volta, else 32-true"
    )
    max_epochs: Positive = Field(10, description="epochs of the whole training")
    max_steps: Positive | None = Field(
        None, description="optimiser steps of the whole training; max_epochs then follows from it; null: max_epochs"
    )
    deterministic: bool = Field(False, description="use deterministic algorithms only")
    limit_batches: Positive | None = Field(None, description="batches of each split to use, for a quick try; null: all")
    accumulate: Positive = Field(1, description="batches per optimiser step")
    gradient_clip: Annotated[Number, Field(gt=0)] | None = Field(None, description="largest gradient norm; null: any")
    gradient_checkpointing: bool = Field(
        False, description="keep less for the backward pass, and compute it again: less memory, a third more time"
    )
    compile: bool = Field(False, description="compile the training step's network with torch.compile")
    channels_last: bool = Field(True, description="keep network and images in channels-last memory layout")
    threads: Positive | None = Field(
        None, description="threads per process; null: OMP_NUM_THREADS, else the cores, shared among them"
    )
    sync_batchnorm: bool = Field(False, description="BatchNorm statistics over the batches of all GPUs")
    find_unused_parameters: bool = Field(False, description="for networks that leave a part unused")
    timeout: Annotated[Number, Field(ge=10)] = Field(
        60,
        description="seconds without a sign of life, or without computing anything, after which a rank counts as lost",
    )
    progress: bool | Literal["auto"] = Field("auto", description="show a progress bar; auto: on a terminal only")


class EMASettings(Group):
    """`ema`: the exponential moving average of the weights."""

    decay: Share | None = Field(None, description="keep the average over about 1 / (1 - decay) steps; null: the last")


class EarlyStoppingSettings(Group):
    """`early_stopping`: end a training that no longer improves."""

    patience: Positive | None = Field(None, description="epochs without a lower val/loss; null: never ends early")
    min_delta: Annotated[Number, Field(ge=0)] = Field(0.0, description="the smallest decrease that counts")


class CheckpointingSettings(Group):
    """`checkpointing`: how often last.ckpt is written; at the end of an epoch it always is."""

    every_n_steps: Positive | None = Field(None, description="optimiser steps between two; null: by time only")
    every_minutes: Annotated[Number, Field(gt=0)] | None = Field(5, description="minutes between two; null: by steps")
    keep: Whole = Field(1, description="earlier ones kept while it trains, if last.ckpt gets damaged")
    failures_allowed: Whole = Field(
        3, description="checkpoints in a row that a full or broken disk may refuse; one more ends the run"
    )
    mirror: PathText | None = Field(
        None, description="a folder on another disk, for a second copy of what a resume needs: DIR/<name of the run>"
    )


def _split(value: object) -> object:
    """The names in an environment variable, which commas separate."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return [] if value is None else value


Named = Annotated[Text | None, BeforeValidator(lambda value: None if value == "" else value)]  # set to nothing
LoggerName = Literal["csv", "tensorboard", "wandb"]
SEVERAL = Legal("a list of these for several at once, such as [wandb,tensorboard]")
LoggerNames = Annotated[list[LoggerName], Field(min_length=1), SEVERAL]


class LoggerSettings(Group):
    """`logger`: where scores are recorded beside the run folder."""

    name: LoggerName | LoggerNames = Field(
        "wandb", description="csv: nothing beside history.csv; several: logger=[wandb,tensorboard]"
    )
    project: Named = Field(None, description="wandb: project; unless typed, WANDB_PROJECT")
    entity: Named = Field(None, description="wandb: user or team; unless typed, WANDB_ENTITY")
    group: Named = Field(None, description="wandb: group of runs; unless typed, WANDB_RUN_GROUP")
    tags: Annotated[list[str], BeforeValidator(_split)] = Field([], description="wandb: tags; unless typed, WANDB_TAGS")
