"""Every recipe of `dsodenet train --recipe`, as data.

Weights and temperatures are the papers' unless a comment says otherwise.
"""

from __future__ import annotations

import math
from functools import partial

from dsodenet.spec import FOLDING_NORMS
from dsodenet.training.adaptation import (
    ClassifierDiscrepancy,
    ConditionalAdversary,
    CorrelationAlignment,
    DomainAdversary,
    InformationMaximisation,
)
from dsodenet.training.anytime import FewerSteps
from dsodenet.training.compression import compressed, full_network, separated_network
from dsodenet.training.losses import (
    CrossEntropy,
    Discriminator,
    Divergence,
    SoftCrossEntropy,
    TargetDivergence,
    TeacherHead,
)
from dsodenet.training.objective import Loss
from dsodenet.training.recipe import (
    SUPERVISED,
    Recipe,
    Stage,
    float_then_quantised,
    latest_float,
    new_network,
    quantised,
    teach,
)
from dsodenet.training.shared_head import teacher_under_student_head

ADVERSARY = (
    Loss(CrossEntropy),
    Loss(DomainAdversary, 0.3),
)  # small networks lose the classes at the paper's weight of 1
CONDITIONAL = (Loss(CrossEntropy), Loss(ConditionalAdversary), Loss(InformationMaximisation))
# after arXiv 2005.07839: T 20, alpha 0.2, beta from 0.1 to 0.9; its teacher is adapted first, not at the same time
JOINT = (
    Loss(CrossEntropy, 0.8),
    Loss(Divergence, 0.2, {"temperature": 20.0}),
    Loss(TargetDivergence, 1.0, {"temperature": 20.0, "low": 0.1, "high": 0.9}),
)
MATCHING = (Loss(Divergence, settings={"temperature": 1.0}),)
MEAL = (Loss(SoftCrossEntropy), Loss(Discriminator, 0.1))
TEACHER_HEAD = (
    Loss(CrossEntropy),
    Loss(Divergence, 1.5, {"temperature": 4.0}),
    Loss(TeacherHead, 0.02, {"temperature": 4.0}),
)
STUDENT_HEAD = TEACHER_HEAD[:2]
TUNING = 0.1  # of the learning rate, for a stage that goes on from a trained network
ANYTIME = (Loss(CrossEntropy), Loss(FewerSteps, settings={"temperature": 1.0}))

RECIPES: dict[str, Recipe] = {
    "supervised": Recipe("cross-entropy to the labels", float_then_quantised(SUPERVISED)),
    "float": Recipe("cross-entropy to the labels in float only, for studies", float_then_quantised(SUPERVISED)[:1]),
    "anytime": Recipe(
        "one network for many step counts: the full solve teaches cheaper ones (after 1903.05134)",
        float_then_quantised(ANYTIME),
    ),
    "compress": Recipe(
        "halve the parameters in two rounds of MUSCO (1903.09973): EVBMF ranks, decompose, fine-tune",
        (
            Stage("whole", new_network),
            Stage("compressed-1", partial(compressed, ratio=math.sqrt(2)), share=0.5, rate=TUNING),
            Stage("compressed-2", partial(compressed, ratio=2.0), share=0.5, rate=TUNING),
            Stage("qat", quantised, schedule="qat"),
        ),
        norms=FOLDING_NORMS,
        shrinks=2.0,
    ),
    "compress-untuned": Recipe(
        "halve the parameters at once, with no training after it: what fine-tuning is worth",
        (
            Stage("whole", new_network),
            Stage("compressed", partial(compressed, ratio=2.0), share=0.0),
            Stage("qat", quantised, schedule="qat", share=0.0),
        ),
        norms=FOLDING_NORMS,
        shrinks=2.0,
    ),
    "separate": Recipe(
        "train full convolutions, then start from their nearest depthwise-separable form (CP3 of 1903.09973)",
        (
            Stage("full", full_network, schedule="start"),
            Stage("float", partial(separated_network, full="full")),
            Stage("qat", quantised, schedule="qat"),
        ),
        norms=("none",),
        whole=True,
    ),
    "teacher": Recipe("train teachers only, for other runs to use", (teach(),), only_teachers=True),
    "kd": Recipe(
        "distil by labels and the teacher's softened probabilities (1503.02531)",
        (teach(), *float_then_quantised(STUDENT_HEAD)),
    ),
    "matching": Recipe(
        "distil by patient and consistent function matching (2106.05237): no labels, mixup that the teacher sees too",
        (teach(), *float_then_quantised(MATCHING, mixup=1.0)),
    ),
    "meal": Recipe(
        "distil by MEAL V2 (2009.08453): a trained student, the teachers' average, a discriminator of logits",
        (
            teach(),
            Stage("pretrained", new_network),
            Stage("float", latest_float, MEAL, share=0.5, rate=TUNING, decay=0.0),
            Stage("qat", quantised, MEAL, "qat", decay=0.0),
        ),
    ),
    "th-kd": Recipe(
        "distil with the teacher's head as the student's second one (TH-KD, 2201.06945)",
        (teach(), *float_then_quantised(TEACHER_HEAD)),
    ),
    "sh-kd": Recipe(
        "distil from a teacher trained under the head of a first student (SH-KD, 2201.06945)",
        (
            Stage("first-student", new_network),
            Stage("teacher", teacher_under_student_head, schedule="teacher"),
            *float_then_quantised(STUDENT_HEAD),
        ),
        retrains_teachers=True,
    ),
    "dann": Recipe("adapt by a domain adversary (1505.07818)", float_then_quantised(ADVERSARY)),
    "cdan": Recipe(  # both weights chosen on training images of digits-rotated, at seeds that the study does not use
        "adapt class by class: a conditional adversary (1705.10667) and information maximisation (2002.08546)",
        float_then_quantised(CONDITIONAL),
    ),
    "mcd": Recipe(
        "adapt by maximum classifier discrepancy (1712.02560)",
        float_then_quantised((Loss(CrossEntropy), Loss(ClassifierDiscrepancy))),
    ),
    "coral": Recipe(
        "adapt by aligning covariances (Deep CORAL, 1607.01719)",
        float_then_quantised((Loss(CrossEntropy), Loss(CorrelationAlignment, 10.0))),
    ),
    "joint": Recipe(
        "adapt a teacher as cdan does, then distil it on both domains (after 2005.07839)",
        (teach(CONDITIONAL), *float_then_quantised(JOINT)),
    ),
}
