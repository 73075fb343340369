"""Pictures in one look. Each function returns a matplotlib Figure, for a notebook or for `save`. Imports matplotlib."""

from dsodenet.lazy import lazy_names
from dsodenet.plots.confusion import confusion_figure
from dsodenet.plots.curves import gradients_figure, learning_figure, solvers_figure
from dsodenet.plots.engine_pictures import resource_figure, schedule_figure
from dsodenet.plots.frontier import front_figure
from dsodenet.plots.gains import recipes_figure
from dsodenet.plots.gallery import images_figure
from dsodenet.plots.latency import comparison_figure, stages_figure
from dsodenet.plots.look import save
from dsodenet.plots.states import trajectory_figure

__all__ = [
    "SolverSliders",
    "comparison_figure",
    "confusion_figure",
    "front_figure",
    "gradients_figure",
    "images_figure",
    "learning_figure",
    "recipes_figure",
    "resource_figure",
    "save",
    "schedule_figure",
    "solvers_figure",
    "stages_figure",
    "trajectory_figure",
]

# ipywidgets only where it is used
__getattr__, __dir__ = lazy_names(__name__, {"SolverSliders": "dsodenet.plots.live"})
