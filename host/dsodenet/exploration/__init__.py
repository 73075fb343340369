"""Search for the model to build: estimates first, short trainings of what fits, and the front of what was found."""

from dsodenet.exploration.choice import choose
from dsodenet.exploration.explorer import explore
from dsodenet.exploration.findings import Search
from dsodenet.exploration.goal import LIMITS, OBJECTIVES, Goal
from dsodenet.exploration.plan import BASE, Plan, Point, check_plan
from dsodenet.exploration.space import Space

__all__ = [
    "BASE",
    "LIMITS",
    "OBJECTIVES",
    "Goal",
    "Plan",
    "Point",
    "Search",
    "Space",
    "check_plan",
    "choose",
    "explore",
]
