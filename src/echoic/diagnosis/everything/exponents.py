"""How perturbations grow or fade in the long run: Lyapunov exponents and what follows from them."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from echoic.core.estimate import Estimate
from echoic.core.finding import Drawing, Finding, Line
from echoic.diagnosis.effort import FULL_SPECTRUM_STATES, LEADING_EXPONENTS
from echoic.diagnosis.everything.subject import (
    Asked,
    Subject,
    counted,
    doubts,
    number,
    percent,
    shares,
    spread_of,
)
from echoic.measure.carriers.modes import mode_time_constants
from echoic.measure.lyapunov.blocks import lyapunov_convergence
from echoic.measure.lyapunov.covariant import covariant_vectors
from echoic.measure.lyapunov.dimension import entropy_rate, kaplan_yorke_dimension
from echoic.measure.lyapunov.ensembles import (
    driven_minus_autonomous,
    finite_time_exponents,
    lyapunov_ensemble,
)
from echoic.measure.lyapunov.spectrum import lyapunov_spectrum

QUESTION = "How do perturbations grow or fade in the long run?"
_VECTORS, _VECTOR_STEPS = 8, 1_000
_SEQUENCES = 8


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    horizon, batch = subject.plan.horizon, subject.inputs.shape[0]
    short = f"the series leaves {subject.room} steps, two horizons are needed"
    return [
        Asked(
            QUESTION,
            "Lyapunov spectrum",
            (
                "lyapunov_spectrum",
                "lyapunov_convergence",
                "kaplan_yorke_dimension",
                "entropy_rate",
                "mode_time_constants",
            ),
            lambda: _spectrum(subject),
        ),
        Asked(
            QUESTION,
            "exponents over one horizon",
            ("finite_time_exponents",),
            lambda: _over_a_horizon(subject),
            short if subject.room < 2 * horizon else "",
        ),
        Asked(
            QUESTION,
            "what the input does to the largest exponent",
            ("driven_minus_autonomous",),
            lambda: _input_effect(subject),
        ),
        Asked(
            QUESTION,
            "angles between the leading directions",
            ("covariant_vectors",),
            lambda: _angles(subject),
        ),
        Asked(
            QUESTION,
            "scatter between sequences",
            ("lyapunov_ensemble",),
            lambda: _between_sequences(subject),
            "there is one sequence only" if batch == 1 else "",
        ),
    ]


def _spectrum(subject: Subject) -> list[Finding]:
    size, horizon = subject.size, subject.plan.horizon
    found = lyapunov_spectrum(
        subject.cell,
        subject.stretch(subject.plan.effort.exponent_steps),
        num_exponents=size if size <= FULL_SPECTRUM_STATES else LEADING_EXPONENTS,
        burn_in=subject.settle,
        key=subject.key_for(0),
        throw=False,
    )
    value = np.asarray(found.value)
    near = int(np.sum(value > -3 / horizon))
    settled = lyapunov_convergence(found)
    return [
        Finding(
            QUESTION,
            "largest Lyapunov exponent",
            ("lyapunov_spectrum",),
            float(value[0]),
            float(found.standard_error[0]),
            "nats per step",
            f"{near} of {len(value)} lie above -3/{horizon}: a perturbation along them outlives"
            " the horizon",
            doubts(found),
        ),
        Finding(QUESTION, "long enough?", ("lyapunov_convergence",), text=settled.sentence),
        _derived(found, "attractor's dimension", kaplan_yorke_dimension, ""),
        _derived(found, "entropy rate", entropy_rate, "nats per step"),
        _modes(subject, found),
    ]


def _derived(spectrum: Estimate, label: str, measure: Callable, unit: str) -> Finding:
    name = measure.__name__
    try:
        found = measure(spectrum)
    except ValueError as error:
        return Finding(QUESTION, label, (name,), left_out=str(error))
    return Finding(QUESTION, label, (name,), float(found.value), float(found.standard_error), unit)


def _modes(subject: Subject, spectrum: Estimate) -> Finding:
    horizon = subject.plan.horizon
    found = mode_time_constants(spectrum)
    tau = spread_of(found.value)
    drawn = np.where(np.isfinite(tau) & (tau > 0), tau, np.nan)
    return Finding(
        "What carries the memory?",
        "longest time constant of a mode",
        ("mode_time_constants",),
        float(found.value[0]),
        float(found.standard_error[0]),
        "steps",
        f"of the exponents; {counted(int(np.sum(tau >= horizon / 3)), 'mode')} of {len(tau)} keep"
        f" a twentieth for {horizon} steps",
        drawing=Drawing(
            "Time constants of modes",
            "share of all modes",
            "steps",
            (Line("modes", shares(len(tau)) * len(tau) / subject.size, drawn),),
            "−1/λ of each Lyapunov exponent, longest first. Look at how many lie above a third of"
            " the horizon, the level drawn: these outlive it.",
            (False, True),
            level=horizon / 3,
        ),
    )


def _over_a_horizon(subject: Subject) -> Finding:
    horizon = subject.plan.horizon
    steps = min(subject.room, max(20 * horizon, subject.plan.effort.exponent_steps))
    found = finite_time_exponents(
        subject.cell,
        subject.stretch(steps),
        window=horizon,
        num_exponents=1,
        burn_in=subject.settle,
        key=subject.key_for(1),
        throw=False,
    )
    windows = np.asarray(found.value)[..., 0]
    # A nilpotent network has exponents of -inf, which do not scatter.
    scatter = float(windows.std(ddof=1)) if np.isfinite(windows).all() else 0.0
    return Finding(
        QUESTION,
        "largest exponent over one horizon",
        ("finite_time_exponents",),
        float(windows.mean()),
        scatter / windows.size**0.5,
        "nats per step",
        f"single stretches scatter by ± {number(scatter, 2)}, and"
        f" {percent(found.details['positive'][0])} of {windows.size} expand",
        doubts(found),
    )


def _input_effect(subject: Subject) -> Finding:
    found = driven_minus_autonomous(
        subject.cell,
        subject.stretch(subject.plan.effort.exponent_steps),
        rest="mean",
        num_exponents=1,
        burn_in=subject.settle,
        key=subject.key_for(2),
        throw=False,
    )
    driven, rest = (float(found.details[name][0]) for name in ("driven", "autonomous"))
    return Finding(
        QUESTION,
        "what the input adds to the largest exponent",
        ("driven_minus_autonomous",),
        float(found.value[0]),
        float(found.standard_error[0]),
        "nats per step",
        f"{number(rest)} under the mean input, {number(driven)} under the signal",
        doubts(found),
    )


def _angles(subject: Subject) -> Finding:
    count = min(subject.size, _VECTORS)
    steps = min(subject.room, _VECTOR_STEPS)
    found = covariant_vectors(
        subject.cell,
        subject.stretch(steps),
        num_exponents=count,
        burn_in=subject.settle,
        settle=steps // 3,
        key=subject.key_for(3),
        throw=False,
    )
    angles = np.degrees(np.asarray(found.details["angles"]))
    pairs = angles[:, *np.triu_indices(count, 1)]
    return Finding(
        QUESTION,
        "smallest angle between the leading directions",
        ("covariant_vectors",),
        float(np.nanmin(pairs)) if np.isfinite(pairs).any() else float("nan"),
        unit="degrees",
        text=f"of {count} covariant vectors, {number(np.nanmedian(pairs))} in the median: small"
        " angles let perturbations grow for a while before they fade"
        if np.isfinite(pairs).any()
        else "directions that die at once have none",
        notes=doubts(found),
    )


def _between_sequences(subject: Subject) -> Finding:
    steps = min(subject.room, subject.plan.effort.exponent_steps)
    found = lyapunov_ensemble(
        [subject.cell],
        jnp.asarray(subject.inputs[:_SEQUENCES, : subject.settle + steps]),
        num_exponents=1,
        burn_in=subject.settle,
        key=subject.key_for(4),
        throw=False,
    )
    return Finding(
        QUESTION,
        "largest exponent over sequences",
        ("lyapunov_ensemble",),
        float(found.value[0]),
        float(found.standard_error[0]),
        "nats per step",
        f"sequences scatter by {number(found.details['between_inputs'][0], 2)}",
        doubts(found),
    )
