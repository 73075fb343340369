"""Images and labels: named data sets, folders, standard files, other domains."""

from dsodenet.data.datasets import (
    DATASETS,
    GENERATED,
    Dataset,
    Labels,
    dataset_classes,
    load_dataset,
    stratified_test_mask,
)
from dsodenet.data.images import IMAGE_SUFFIXES, Images
from dsodenet.data.pictures import prepare, read_pictures

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
    "stratified_test_mask",
]
