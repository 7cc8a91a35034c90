"""How much of what could be remembered is: bounds and capacities of Fisher memory."""

import numpy as np

from echoic.core.finding import Finding
from echoic.diagnosis.everything.subject import Asked, Subject, doubts, number, percent
from echoic.measure.information.fisher_bound import fisher_bound
from echoic.measure.information.fisher_spatial import fisher_capacity
from echoic.measure.information.noisy_recall import noisy_recall

QUESTION = "How much of what could be remembered is?"
_NOISE = 0.01  # state variance per unit variance of the input


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    linear = subject.cell.linear_form() is not None
    only = "" if linear else "exact for linear cells only"
    driven = float(np.std(subject.inputs)) > 0
    return [
        Asked(
            QUESTION,
            "share of the dynamical bound",
            ("fisher_bound",),
            lambda: _bound(subject),
            "" if driven or linear else "the inputs do not vary",
        ),
        Asked(
            QUESTION,
            "total Fisher memory",
            ("fisher_capacity", "fisher_memory_matrix"),
            lambda: _capacity(subject),
            only,
        ),
        Asked(QUESTION, "recall under noise", ("noisy_recall",), lambda: _noisy(subject), only),
    ]


def _bound(subject: Subject) -> Finding:
    lag = subject.plan.horizon
    found = fisher_bound(
        subject.cell,
        subject.inputs if float(np.std(subject.inputs)) > 0 else None,
        max_lag=lag,
        burn_in=subject.settle,
        noise_variance=1.0,
        key=subject.key_for(30),
        throw=False,
    )
    measured = subject.record.curve("fisher_memory")
    variance = subject.record.settings.get("fisher_memory", {}).get("noise_variance")
    bound = float(found.value[lag])
    share = np.nan
    if measured is not None and isinstance(variance, float) and bound > 0:
        # Sampled at other times, the measured one may exceed its bound by chance.
        share = min(measured.at(lag) * variance / bound, 1.0)
    used = f"{percent(share)} of it is in use" if np.isfinite(share) else "its use is not known"
    return Finding(
        QUESTION,
        f"most Fisher memory at {lag} steps",
        ("fisher_bound",),
        bound,
        float(found.standard_error[lag]),
        "at unit noise",
        f"that the growth of the signal allows; {used}",
        doubts(found),
    )


def _capacity(subject: Subject) -> Finding:
    found = fisher_capacity(subject.cell, throw=False)
    return Finding(
        QUESTION,
        "total Fisher memory",
        ("fisher_capacity", "fisher_memory_matrix"),
        float(found.value),
        unit=f"of {subject.size}",
        text=f"{percent(found.details['share'])} of the bound; the best direction of input would"
        f" have {number(found.details['best'])}",
        notes=doubts(found),
    )


def _noisy(subject: Subject) -> Finding:
    lag = subject.plan.horizon
    found = noisy_recall(subject.cell, max_lag=lag, noise_variance=_NOISE, throw=False)
    return Finding(
        QUESTION,
        f"recall of white input at {lag} steps under noise",
        ("noisy_recall",),
        float(found.value[lag]),
        unit="R²",
        text=f"state noise of variance {_NOISE}; {number(found.details['total'])} over all lags"
        " up to it",
        notes=doubts(found),
    )
