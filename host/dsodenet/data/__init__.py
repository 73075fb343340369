"""Images and labels: named data sets, folders, standard files, other domains."""

from dsodenet.data.datasets import DATASETS, GENERATED, Dataset, Labels, load_dataset, new_images, stratified_test_mask
from dsodenet.data.images import Images

__all__ = [
    "DATASETS",
    "GENERATED",
    "Dataset",
    "Images",
    "Labels",
    "load_dataset",
    "new_images",
    "stratified_test_mask",
]
