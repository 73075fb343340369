"""Training: recipes as data, one loop, and the run folder that they leave. Imports torch.

    train(spec, data, out, options, recipe)  ->  OUT/checkpoint.pt, metrics.json, metrics.csv
    load_checkpoint(out)                     ->  the quantised model, its spec and its metrics

The page Architecture of the documents says how its modules fit together.
"""

from dsodenet.training.checkpoint import accuracy, load_checkpoint, load_float_model
from dsodenet.training.gradients import GRADIENTS, TORCHDIFFEQ_METHODS, backprop, checkpointed
from dsodenet.training.options import Options
from dsodenet.training.recipe import Recipe
from dsodenet.training.recipes import RECIPES
from dsodenet.training.task import Teacher
from dsodenet.training.teaching import TEACHERS, make_teachers
from dsodenet.training.trainer import OPTION_NAMES, train

__all__ = [
    "GRADIENTS",
    "OPTION_NAMES",
    "RECIPES",
    "TEACHERS",
    "TORCHDIFFEQ_METHODS",
    "Options",
    "Recipe",
    "Teacher",
    "accuracy",
    "backprop",
    "checkpointed",
    "load_checkpoint",
    "load_float_model",
    "make_teachers",
    "train",
]
