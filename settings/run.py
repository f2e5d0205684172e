"""The whole configuration of each command, and what its groups must agree on."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from settings.base import (
    Group,
    Ids,
    Legal,
    NameOrCSV,
    Paths,
    PathText,
    Positive,
    Target,
    Text,
    Whole,
    absolute,
    as_typed,
)
from settings.data import DataSettings
from settings.errors import SettingsError, sentences
from settings.evaluation import EvaluationSettings, ReportSettings
from settings.mixing import mixing_problems
from settings.model import (
    AugSettings,
    LightningModuleSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    SchedulerSettings,
)
from settings.training import CheckpointingSettings, EarlyStoppingSettings, EMASettings, LoggerSettings, TrainerSettings

AUTO = "auto"
LARGEST_SEED = 2**32 - 1  # numpy's largest
NO_SCHEDULE = SchedulerSettings.model_validate({"_target_": "lightning_modules.schedules.constant", "_partial_": True})
CheckpointName = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(lambda value: value if value in ("best", "last") else absolute(value)),
    Legal("best, last or the path of a checkpoint"),
]
ResumeName = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(lambda value: value if value == AUTO else absolute(value)),
    Legal("the path of a run folder, or auto"),
]
Sources = Annotated[
    Paths, Legal("an image, a video, a folder, a pattern such as photos/*.jpg, a list file, a list of these, or null")
]
Runs = Annotated[Paths, Legal("run folders, such as [RUN_FOLDER,RUN_FOLDER], or the folder of a sweep, or null")]


class AllowedPackages(Group):
    """Which packages of the user's own a configuration may name; never read from a run folder."""

    allow: list[Text] = Field([], description="packages of your own that a _target_ may name")


class RequestKeys(Group):
    """What is requested beside a run's own configuration; each command has some of these keys."""

    run: PathText | None = Field(None, description="the run folder to evaluate, or whose model predicts")
    resume: ResumeName | None = Field(
        None, description="a run folder to resume; auto: the run in hydra.run.dir where there is one, else begin it"
    )
    resume_with_changes: bool = Field(False, description="resume although a changed key makes the rest another run")
    fetch_only: bool = Field(False, description="only download weights and make embedded data, with no training")
    profile: bool = Field(False, description="only measure some steps, phase by phase, and write a trace of them")
    checkpoint: CheckpointName = Field("best", description="best, last or the path of a checkpoint")
    split: Literal["train", "val", "test"] | None = Field(
        None, description="the split to evaluate or compare; null: test, or val where test has no truth"
    )
    source: Sources = Field(
        None,
        description="an image, a video, a folder, a pattern as 'drive/*.jpg', a list file (.txt, .csv), or several",
    )
    masks: bool = Field(False, description="predict.py source=VIDEO: write the mask of each frame too")
    predictions: PathText | None = Field(
        None, description="a folder of masks made by any tool; to judge labels, by models that were not trained on them"
    )
    predictions_label_space: NameOrCSV | None = Field(
        None, description="their classes, such as cityscapes19, or a CSV; data: those of the data"
    )
    predictions_void_ids: Ids | None = Field(None, description="further ids of no class in these masks, such as [19]")
    runs: Runs = Field(
        None, description="the runs to compare, or that judge labels: run folders, or the folder of a sweep"
    )
    require: Text | None = Field(
        None, description="what the first run needs, such as 'miou>=0.68,iou.person>=0.55'; exit code 1 otherwise"
    )
    allow_different: list[Literal["resolution", "looks"]] = Field(
        [], description="resolution, looks: runs that were scored otherwise in these are compared all the same"
    )
    over: Literal["common"] | None = Field(
        None, description="common: compare models of different label spaces over the classes that all can express"
    )
    task: Literal["classification", "segmentation"] | None = Field(
        None, description="explore data as frames with masks or as images with classes; null: masks if there are any"
    )
    crosswalk: PathText | None = Field(None, description="a CSV from these classes to the data's; null: a shipped one")


class SweepSettings(Group):
    """`sweep`: of -m alone."""

    resume: PathText | None = Field(None, description="-m: the folder of a sweep to go on with")
    evaluate: Literal["winner", "all"] = Field(
        "winner",
        description="all: evaluate each job of a sweep on the reported split; winner: none, evaluate.py sweep= the best one",
    )


class LaunchKeys(Group):
    """How the jobs of a sweep are run; never part of a run's own configuration."""

    jobs: Positive | None = Field(None, description="-m: jobs at once; null: one for each GPU, without GPUs one")
    jobs_per_device: Positive = Field(1, description="-m: jobs at once on each GPU")
    retries: Whole = Field(0, description="-m: how often a failed job is run again, from its last checkpoint")
    on_failure: Literal["continue", "stop"] = Field(
        "continue", description="-m: stop: after a failure no job is started"
    )
    n_trials: Positive | None = Field(None, description="-m hydra/sweeper=optuna: trials of the search in all")


class SweepKey(Group):
    """The sweep that evaluate.py is given."""

    sweep: PathText | None = Field(None, description="the folder of a sweep, whose best job is scored once")


class PageKeys(Group):
    """What a command's page shows."""

    report: ReportSettings = ReportSettings()


class RunSettings(RequestKeys):
    """The configuration of a run, as config.yaml holds it; of the keys of a request those that its command has."""

    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = Field(
        0, description="seed of the training: first weights, order of the samples, augmentation, dropout"
    )
    lightning_module: LightningModuleSettings
    loss: LossSettings
    ema: EMASettings = EMASettings()
    early_stopping: EarlyStoppingSettings = EarlyStoppingSettings()
    checkpointing: CheckpointingSettings = CheckpointingSettings()
    sweep: Annotated[SweepSettings, BeforeValidator(lambda value: SweepSettings() if value is None else value)] = (
        SweepSettings()
    )
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    data: DataSettings
    model: ModelSettings
    aug: AugSettings = AugSettings()
    optimizer: OptimizerSettings
    scheduler: SchedulerSettings = NO_SCHEDULE
    callbacks: dict[Text, Target] = Field(
        {}, description="further callbacks of the trainer by a name of your own, each with a _target_"
    )
    trainer: TrainerSettings
    logger: LoggerSettings = LoggerSettings(name="csv")

    @model_validator(mode="after")
    def _check_agreement(self) -> Self:
        problems = [*self._problems(), *(self._of_segmentation() if self.model.task == "classification" else ())]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def to_yaml(self) -> str:
        """The settings as config.yaml holds them."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def _problems(self) -> Iterator[str]:
        size, accumulate = self.data.batch_size, self.trainer.accumulate
        window, stride = self.evaluation.window, self.evaluation.stride
        if size % accumulate:
            yield f"data.batch_size={size} does not divide by trainer.accumulate={accumulate}: it is what one optimiser step sees."
        if self.ema.decay is not None and self.trainer.precision == "bf16-true":
            yield f"ema.decay={self.ema.decay} needs weights that can hold small changes: type trainer.precision=bf16-mixed, not bf16-true."
        if any([*self.optimizer.grouping.values()][:2]) and self.scheduler.target.endswith(
            (".OneCycleLR", ".CyclicLR")
        ):
            yield f"optimizer.encoder_lr and layer_decay: {self.scheduler.target} has one rate for all weights. Type scheduler=cosine."
        if stride is not None and window is None:
            yield f"evaluation.stride={as_typed(stride)} needs evaluation.window=[height,width]."
        elif stride is not None and any(step > side for step, side in zip(stride, window or (), strict=True)):
            yield f"evaluation.stride={as_typed(stride)} is larger than evaluation.window={as_typed(window)}: pixels between windows would be left out."
        if (aug := self.aug).mixup or aug.cutmix or aug.copy_paste or aug.copy_paste_classes:
            yield from mixing_problems(aug, self.model.task, self.model.name)
        if self.data.sampling_threshold and self.data.sampling == "uniform":
            yield f"data.sampling_threshold={self.data.sampling_threshold} needs data.sampling=balanced."
        if self.model.task == "segmentation" and self.data.riders != "separate":
            yield f"data.riders={self.data.riders} is for crops of objects, and model={self.model.name} segments. Leave it out."

    def _of_segmentation(self) -> Iterator[str]:
        """A sentence for each key that is for segmentation only, in a run that classifies."""
        data, evaluation, report = self.data, self.evaluation, self.report
        classifies = f"model={self.model.name} classifies"
        one_class = f"is for segmentation, and model={self.model.name} predicts one class per image; only evaluation.flip=true is possible."
        if report.predictions:
            yield f"report.predictions=true writes masks, and {classifies}; each image's prediction is in per_sample.npz."
        if report.region_sizes:
            yield f"report.region_sizes=true groups the pixels of masks, and {classifies}. Leave it out."
        if evaluation.scales != [1.0]:
            yield f"evaluation.scales={as_typed(evaluation.scales)} {one_class}"
        if evaluation.window is not None:
            yield f"evaluation.window={as_typed(evaluation.window)} {one_class}"
        if data.label_space is not None:
            names = "the classes of images are the names of their folders or objects"
            yield f"data.label_space={data.label_space} is for masks; {names}. Leave it out."
        if data.void_ids is not None:
            yield f"data.void_ids={as_typed(data.void_ids)} is for masks, and {classifies}. Leave it out."
        if data.masks != "polygons":
            yield f"data.masks={data.masks} is for segmentation; objects are cropped by their polygons. Leave it out."


G = TypeVar("G", bound=Group)


def validated(group: type[G], values: object) -> G:
    """The settings of a group that plain values describe. Raises SettingsError with every problem at once."""
    try:
        return group.model_validate(values)
    except ValidationError as error:
        raise SettingsError(sentences(group, values, error)) from None
