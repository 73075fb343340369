"""The small trained models that come with the package: `dsodenet.zoo.models()` lists them.

Accelerator("zoo:digits-xs")              runs one
Params.load("zoo:digits-xs")              its integers
print(dsodenet.zoo.card("digits-xs"))     what it was trained on, how, and the command that makes it
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from dsodenet.rtl import estimate
from dsodenet.runs import PREFIX, Run, zoo_names
from dsodenet.spec import Params, lanes_text, macs, parameters
from dsodenet.text import html_table, table

HEADER = ("model", "data", "float %", "quantised %", "parameters", "MAC", "cycles", "lanes")
KINDS = {"accuracies": "measured", "parameters, macs": "counted", "cycles": "estimated"}


@dataclass(frozen=True)
class Model:
    """A model of the zoo, and what it costs on the rtl kernel."""

    model: str  # zoo:NAME
    data: str
    float_accuracy: float  # shares of the test images of the data, in [0, 1]
    qat_accuracy: float
    parameters: int
    macs: int  # multiply-accumulates of an image
    cycles: int  # estimated, of an image on `lanes`
    lanes: str


@dataclass(frozen=True)
class Models:
    """The models of the zoo as a table."""

    models: tuple[Model, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `dsodenet zoo`."""
        return {"kinds": KINDS, "models": [asdict(model) for model in self.models]}

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                found.model,
                found.data,
                *(f"{100 * share:.2f}" for share in (found.float_accuracy, found.qat_accuracy)),
                *(f"{count:,}" for count in (found.parameters, found.macs, found.cycles)),
                found.lanes,
            )
            for found in self.models
        ]

    def table(self) -> str:
        return table(HEADER, self._rows())

    def __str__(self) -> str:
        notes = "accuracy: measured on the test images of the data; cycles of the rtl kernel: estimated"
        return f"{self.table()}\n{notes}"

    def __repr__(self) -> str:
        return f"<Models of the zoo: {', '.join(found.model for found in self.models)}>"

    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows())


def names() -> list[str]:
    """The names of the models, to be used as zoo:NAME."""
    return zoo_names()


def models() -> Models:
    """Every model with its accuracy, size and cycles; a table in a notebook."""
    return Models(tuple(_model(name) for name in zoo_names()))


def card(name: str) -> str:
    """The model card in Markdown. InputError for a name that is not in the zoo."""
    run = Run.of(name if name.startswith(PREFIX) else PREFIX + name)
    return (run.folder / "README.md").read_text(encoding="utf-8")


def _model(name: str) -> Model:
    run = Run.of(PREFIX + name)
    params, metrics = Params.load(run), json.loads(run.metrics.read_text(encoding="utf-8"))
    found = estimate(params)
    adapted = metrics["target"] is not None
    return Model(
        PREFIX + name,
        (metrics["target"] if adapted else metrics["data"])["name"],
        metrics["target_float_accuracy" if adapted else "float_accuracy"],
        metrics["target_qat_accuracy" if adapted else "qat_accuracy"],
        sum(parameters(params.spec).values()),
        sum(macs(params.spec).values()),
        found.cycles,
        lanes_text(found.engine),
    )
