"""Images and labels: named data sets, folders, standard files, other domains."""

from dsodenet.data.dataset import Dataset, Labels
from dsodenet.data.datasets import (
    DATASETS,
    GENERATED,
    dataset_classes,
    load_dataset,
    stratified_test_mask,
)
from dsodenet.data.images import IMAGE_SUFFIXES, Images
from dsodenet.data.pictures import prepare, read_pictures
from dsodenet.data.selection import select, with_unlabelled

__all__ = [
    "DATASETS",
    "GENERATED",
    "IMAGE_SUFFIXES",
    "Dataset",
    "Images",
    "Labels",
    "dataset_classes",
    "load_dataset",
    "prepare",
    "read_pictures",
    "select",
    "stratified_test_mask",
    "with_unlabelled",
]
