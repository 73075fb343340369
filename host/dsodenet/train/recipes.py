"""Every recipe of `dsodenet train --recipe`, as data."""

from __future__ import annotations

from dsodenet.train.recipe import SUPERVISED, Recipe, float_then_quantised

RECIPES: dict[str, Recipe] = {
    "supervised": Recipe("cross-entropy to the labels", float_then_quantised(SUPERVISED)),
}
