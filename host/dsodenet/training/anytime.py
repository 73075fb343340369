"""One network for several step counts and solvers: the term of the recipe `anytime`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dsodenet.spec import TABLEAUS, Spec, tableau
from dsodenet.training.losses import divergence
from dsodenet.training.objective import Seen, Term
from dsodenet.training.task import Training

SHARE = 4  # the cheapest solve that is trained has this share of the steps


def cheaper_solvers(spec: Spec) -> list[tuple[str, tuple[int, ...]]]:
    """(method, steps of each block) of what `anytime` trains beside the solver of a spec, the cheapest first.

    Every count of steps from a quarter of the spec's to one fewer than it, by the spec's method, then by every method
    with fewer stages. The blocks are cut in the same proportion.
    """
    solver = spec.solver
    most, stages = max(solver.n_steps), tableau(solver.method).num_stages
    methods = [solver.method] + [name for name in TABLEAUS if tableau(name).num_stages < stages]
    counts = range(max(1, most // SHARE), most)
    found = {
        (method, tuple(max(1, round(own * count / most)) for own in solver.n_steps))
        for method in methods
        for count in (*counts, *([most] if method != solver.method else []))
    }
    return sorted(found, key=lambda item: (tableau(item[0]).num_stages * sum(item[1]), item))


class FewerSteps(Term):
    """The full solve teaches cheaper ones on the same batch: the cheapest each time, and another drawn at random.

    That is the sandwich rule and the in-place distillation of universally slimmable networks (arXiv 1903.05134), over
    steps and methods instead of widths. The term is the mean divergence of the cheaper solves from the full one.
    """

    def __init__(self, training: Training, student: nn.Module, temperature: float) -> None:
        super().__init__(training, student)
        self.temperature = temperature
        self._student: list[Any] = [student]  # a list hides it: its parameters are not this term's
        self.cheaper = cheaper_solvers(training.spec)

    def forward(self, seen: Seen) -> Tensor:
        (student,) = self._student
        whole, taught = student.spec, seen.source.logits.detach()
        if not self.cheaper:
            return taught.new_zeros(())
        drawn = self.cheaper[int(torch.randint(len(self.cheaper), ()))]
        losses = []
        try:
            for method, n_steps in dict.fromkeys((self.cheaper[0], drawn)):
                student.spec = whole.with_solver(method, n_steps)
                logits = student.outputs(seen.batch.images).logits
                losses.append(divergence(logits, taught, self.temperature))
        finally:
            student.spec = whole
        return torch.stack(losses).mean()
