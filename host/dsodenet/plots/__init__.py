"""Pictures in one look. Each function returns a matplotlib Figure, for a notebook or for `save`. Imports matplotlib."""

from dsodenet.plots.confusion import confusion_figure
from dsodenet.plots.curves import gradients_figure, learning_figure, solvers_figure
from dsodenet.plots.engine_pictures import resource_figure, schedule_figure
from dsodenet.plots.frontier import front_figure
from dsodenet.plots.gains import recipes_figure
from dsodenet.plots.latency import comparison_figure
from dsodenet.plots.look import save
from dsodenet.plots.states import trajectory_figure

__all__ = [
    "comparison_figure",
    "confusion_figure",
    "front_figure",
    "gradients_figure",
    "learning_figure",
    "recipes_figure",
    "resource_figure",
    "save",
    "schedule_figure",
    "solvers_figure",
    "trajectory_figure",
]
