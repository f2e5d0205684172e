import pytest

from datamodules.splits.split_names import split_of

NAMES = {
    "train": ["train", "Train", "TRAIN", "training", "Training", "train_set", "trainset", "TrainingSet", "train2017",
              "01_train", "images_train", "train-images", "seg_train", "Train Data", "traindata", "trn"],
    "val": ["val", "Valid", "validation", "VALIDATION", "dev", "dev_set", "eval", "Evaluation", "val_256", "validation_set"],
    "test": ["test", "Testing", "TEST", "test_images", "Test Set", "holdout", "hold-out", "held_out", "tst", "test2"],
    None: ["bus", "trains", "fold1", "2019", "", "_", "train_bus", "valley", "contest", "devices", "strain", "A", "images",
           "unlabelled", "train_backup"],
}  # fmt: skip


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in NAMES.items() for name in names])
def test_the_usual_words_in_any_writing(split, name):
    assert split_of(name) == split
