"""Training: recipes as data, one loop, and the run folder that they leave.

    train(spec, data, out, options, recipe)  ->  OUT/checkpoint.pt, metrics.json, metrics.csv
    load_checkpoint(out)                     ->  the quantised model, its spec and its metrics

A name below is imported when it is first used, and torch with it; Options and PRESETS need no torch, so that the
command line can show them. The page Architecture of the documents says how the modules fit together.
"""

from typing import TYPE_CHECKING

from dsodenet.lazy import lazy_names

if TYPE_CHECKING:
    from dsodenet.training.checkpoint import accuracy, load_checkpoint, load_float_model
    from dsodenet.training.gradients import GRADIENTS, TORCHDIFFEQ_METHODS, backprop, checkpointed
    from dsodenet.training.graphs import graphed
    from dsodenet.training.options import PRESETS, Options
    from dsodenet.training.recipe import Recipe
    from dsodenet.training.recipes import RECIPES
    from dsodenet.training.task import Teacher
    from dsodenet.training.teaching import TEACHERS, make_teachers
    from dsodenet.training.trainer import OPTION_NAMES, train

__all__ = [
    "GRADIENTS",
    "OPTION_NAMES",
    "PRESETS",
    "RECIPES",
    "TEACHERS",
    "TORCHDIFFEQ_METHODS",
    "Options",
    "Recipe",
    "Teacher",
    "accuracy",
    "backprop",
    "checkpointed",
    "graphed",
    "load_checkpoint",
    "load_float_model",
    "make_teachers",
    "train",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "GRADIENTS": "dsodenet.training.gradients",
        "OPTION_NAMES": "dsodenet.training.trainer",
        "PRESETS": "dsodenet.training.options",
        "RECIPES": "dsodenet.training.recipes",
        "TEACHERS": "dsodenet.training.teaching",
        "TORCHDIFFEQ_METHODS": "dsodenet.training.gradients",
        "Options": "dsodenet.training.options",
        "Recipe": "dsodenet.training.recipe",
        "Teacher": "dsodenet.training.task",
        "accuracy": "dsodenet.training.checkpoint",
        "backprop": "dsodenet.training.gradients",
        "checkpointed": "dsodenet.training.gradients",
        "graphed": "dsodenet.training.graphs",
        "load_checkpoint": "dsodenet.training.checkpoint",
        "load_float_model": "dsodenet.training.checkpoint",
        "make_teachers": "dsodenet.training.teaching",
        "train": "dsodenet.training.trainer",
    },
)
