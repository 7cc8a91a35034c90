"""How training on one output moves others, and how runs come together."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from echoic.core.cell import FunctionCell, flatten_state
from echoic.core.finding import Drawing, Finding, Line
from echoic.core.rollout import rollout
from echoic.diagnosis.everything.subject import Asked, Subject, doubts, number, percent
from echoic.measure.gain.impulse_response import impulse_response
from echoic.measure.kernels.tangent import tangent_kernel
from echoic.measure.propagation.signals import signal_propagation
from echoic.measure.propagation.timescale import fit_timescale

KERNEL = "In which directions does training move it?"
TOGETHER = "How do two runs come together?"
_KERNEL_STEPS = 24
_MOST_KERNEL = 1e8


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    bare = isinstance(subject.cell, FunctionCell)
    refusal = "a step function does not say what its weights are" if bare else ""
    outputs = _num_outputs(subject)
    if subject.cell.num_parameters * _KERNEL_STEPS * outputs > 4 * _MOST_KERNEL:
        refusal = refusal or (
            f"{outputs} outputs of {subject.cell.num_parameters} weights would take minutes"
        )
    short = f"the series leaves {subject.room} steps" if subject.room < 8 else ""
    return [
        Asked(
            KERNEL,
            "tangent kernel",
            ("tangent_kernel",),
            lambda: _kernel(subject),
            refusal or (short and short + f", {_KERNEL_STEPS} are needed"),
        ),
        Asked(
            "How far does an input reach?",
            "impulse response",
            ("impulse_response",),
            lambda: _response(subject),
            "there is no input" if subject.cell.input_size == 0 else "",
        ),
        Asked(
            TOGETHER,
            "two runs under one signal",
            ("signal_propagation", "fit_timescale"),
            lambda: _together(subject),
            short,
        ),
    ]


def _mean_output(outputs):
    return jnp.mean(outputs, axis=-1, keepdims=True)


def _readout(subject: Subject):
    """The network's own, where it has one; else the mean of the outputs stands for it."""
    return None if getattr(subject.cell, "readout", None) is not None else _mean_output


def _num_outputs(subject: Subject) -> int:
    readout = getattr(subject.cell, "readout", None)
    return getattr(readout, "output_size", 1) if readout is not None else 1


def _settled(subject: Subject):
    """The state of the first sequence when it has settled."""
    if subject.settle == 0:
        return subject.cell.initial_state()
    return rollout(subject.cell, subject.inputs[0, : subject.settle], collect="nothing").final


def _kernel(subject: Subject) -> Finding:
    steps = min(_KERNEL_STEPS, subject.room)
    xs = subject.inputs[0, subject.settle : subject.settle + steps]
    found = tangent_kernel(subject.cell, xs, readout=_readout(subject), state=_settled(subject))
    size = found.value.shape[0] * found.value.shape[1]
    values = np.linalg.eigvalsh(np.asarray(found.value).reshape(size, size))
    spread = values.sum() ** 2 / np.sum(values**2) if np.any(values) else np.nan
    ratio = values[-1] / values.sum() if np.any(values) else np.nan
    what = "its own readout" if _readout(subject) is None else "the mean of its outputs"
    return Finding(
        KERNEL,
        "directions that training can tell apart",
        ("tangent_kernel",),
        float(spread),
        unit=f"of {size}",
        text=f"outputs at {steps} steps in a row, {what}; the leading one takes {percent(ratio)} of"
        f" the kernel, whose largest eigenvalue is {number(values[-1])}",
        notes=doubts(found),
    )


def _response(subject: Subject) -> Finding:
    plan = subject.plan
    steps = min(subject.room, plan.max_lag + 1)
    found = impulse_response(
        subject.cell,
        subject.stretch(steps),
        max_lag=steps - 1,
        readout=_readout(subject),
    )
    power = np.asarray(found.details["power"])
    size = np.sqrt(power)
    total = power.sum()
    half = int(np.searchsorted(np.cumsum(power), total / 2)) if total > 0 else 0
    late = power[plan.horizon :].sum() / total if total > 0 else np.nan
    what = "its own readout" if _readout(subject) is None else "the mean of its outputs"
    return Finding(
        "How far does an input reach?",
        "lag by which half of the response has come",
        ("impulse_response",),
        float(half),
        unit="steps",
        text=f"{percent(late)} of its power comes after {plan.horizon} steps; {what}",
        notes=doubts(found),
        drawing=Drawing(
            "Impulse response",
            "lag",
            "root mean square",
            (Line("response", np.arange(steps), np.where(size > 0, size, np.nan)),),
            "How the last output depends on the input so many steps before, linearised along the"
            " signal.",
            (False, True),
            mark=float(plan.horizon),
        ),
    )


def _together(subject: Subject) -> Finding:
    state = _settled(subject)
    vector, restore = flatten_state(state)
    scale = jnp.maximum(jnp.sqrt(jnp.mean(vector**2)), 1e-3)
    other = restore(vector + scale * jr.normal(subject.key_for(60), vector.shape, vector.dtype))
    steps = min(subject.room, 4 * subject.plan.horizon)
    xs = subject.inputs[0, subject.settle : subject.settle + steps]
    found = signal_propagation(subject.cell, xs, xs, state=state, other_state=other)
    distance = np.maximum(1 - np.asarray(found.value), 0)
    # Below this the cosine of equal states is rounding.
    seen = np.where(distance > 1e-12, distance, np.nan)
    gone = int(np.argmax(np.isnan(seen))) if np.isnan(seen).any() else steps
    fitted = fit_timescale(np.asarray(found.value)[: max(gone, 4)], 1.0)
    grows = not np.isfinite(float(fitted.value))
    return Finding(
        TOGETHER,
        "timescale on which the start is forgotten",
        ("signal_propagation", "fit_timescale"),
        float(fitted.value),
        float(fitted.standard_error),
        "steps",
        f"of 1 less the cosine of two runs that begin apart; {number(distance[-1], 2)} after"
        f" {steps} steps" + (": they do not come together" if grows else ""),
        (*doubts(found), *doubts(fitted)),
        drawing=Drawing(
            "Two runs under one signal",
            "steps",
            "1 − cosine",
            (Line("distance", np.arange(steps) + 1, seen),),
            "From two starts, one signal. A straight fall: the start is forgotten. A level: it"
            " never is.",
            (False, True),
            mark=float(subject.plan.horizon),
        ),
    )
