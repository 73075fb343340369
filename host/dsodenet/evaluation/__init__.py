"""How good a trained model is, and the images to ask that on."""

from dsodenet.evaluation.accuracy import Evaluation, evaluate
from dsodenet.evaluation.split import IMAGE_SEED, held_out, sample_images

__all__ = ["IMAGE_SEED", "Evaluation", "evaluate", "held_out", "sample_images"]
