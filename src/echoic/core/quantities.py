"""The curves over the lag: their names for people, panels, units and definitions."""

import dataclasses
from typing import Literal

Panel = Literal["gain", "information", "demand"]


@dataclasses.dataclass(frozen=True)
class Quantity:
    """The name of a curve for people, its panel, unit and definition."""

    label: str
    panel: Panel
    unit: str
    definition: str


QUANTITIES: dict[str, Quantity] = {
    "gradient_reach": Quantity(
        "gradient reach",
        "gain",
        "relative to lag 0",
        "Root-mean-square singular value of dh_t/dh_{t-k} over the full state and over starting"
        " times: how much of a gradient, or of a perturbation, is left after k steps.",
    ),
    "gradient_reach_typical": Quantity(
        "gradient reach, typical",
        "gain",
        "relative to lag 0",
        "The same with the logarithm averaged over starting times: what a single run sees.",
    ),
    "input_reach": Quantity(
        "input reach",
        "gain",
        "per standard deviation of the input",
        "Root-mean-square gain of dh_t/dx_{t-k}, in units of the input's own spread.",
    ),
    "coherent_reach": Quantity(
        "coherent reach",
        "gain",
        "relative to lag 0",
        "Norm of the average of dh_t/dh_{t-k} over input sequences: the part of the gradient that"
        " points the same way for different inputs, the part that trains.",
    ),
    "lyapunov_asymptote": Quantity(
        "exp(lambda_1 k)",
        "gain",
        "relative to lag 0",
        "What the largest Lyapunov exponent alone says about the gain at long lags.",
    ),
    "learning_speed": Quantity(
        "learning speed",
        "gain",
        "relative to lag 0",
        "sqrt(rho_k / rho_0) of a linear network: how fast gradient descent learns lag k. Not a"
        " gain of the dynamics.",
    ),
    "linear_recall": Quantity(
        "linear recall",
        "information",
        "R²",
        "Share of the variance of a small white probe, added to the input k steps ago, that a"
        " linear readout of the present state recovers. Of the input itself where it is white.",
    ),
    "raw_recall": Quantity(
        "recall of the raw input",
        "information",
        "R²",
        "R² of reading the input itself, k steps ago, from the present state. On autocorrelated"
        " data a network without memory scores high: compare with the memoryless curve.",
    ),
    "memoryless_recall": Quantity(
        "memoryless recall",
        "information",
        "R²",
        "R² of predicting the input k steps ago from the present input alone.",
    ),
    "fisher_memory": Quantity(
        "Fisher memory",
        "information",
        "per unit of input variance and noise",
        "Fisher information on the input k steps ago in the present state under state noise.",
    ),
    "context_ablation": Quantity(
        "context that is used",
        "demand",
        "rise of the loss",
        "How much the loss rises when the input k steps before the target is replaced by that of"
        " another sequence: what the network takes from that step and from nowhere else.",
    ),
    "solver_ablation": Quantity(
        "context of a perfect solver",
        "demand",
        "rise of the loss",
        "The same of a perfect solver of the task, scaled to the height of the network's.",
    ),
    "context_ablation_from": Quantity(
        "context from there on",
        "demand",
        "rise of the loss",
        "How much the loss rises when all inputs k steps before the target and earlier are replaced"
        " by those of another sequence: what would be lost if memory ended there.",
    ),
    "task_gradient_reach": Quantity(
        "task-gradient reach",
        "demand",
        "relative to lag 0",
        "Root-mean-square length of dL_t/dh_{t-k}, the gradient of the loss of one target in the"
        " state k steps before: how much of it is left to learn from.",
    ),
}
