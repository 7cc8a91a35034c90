"""What the recurrent matrices alone say: non-normality, transients, hidden chains."""

import numpy as np

from echoic.core.finding import Drawing, Finding, Line
from echoic.diagnosis.everything.subject import Asked, Subject, doubts, number, percent
from echoic.measure.matrices.chain_motif import chain_motif
from echoic.measure.matrices.effective_radius import effective_spectral_radius
from echoic.measure.matrices.nonnormality import nonnormality
from echoic.measure.matrices.schur import schur_profile

QUESTION = "What do the recurrent matrices allow?"
_MOST_UNITS = 1_000
_JACOBIAN_STEPS = 500
_MOST_JACOBIAN = 512


def asked(subject: Subject) -> list[Asked]:
    """The questions, the longest to answer first."""
    blocks = subject.cell.recurrent_blocks()
    largest = max((len(matrix) for matrix in blocks.values()), default=0)
    none = "" if blocks else "the cell does not say which matrices are recurrent"
    if largest > _MOST_UNITS:
        none = f"{largest} units: eigenvalues and powers would take minutes"
    wide = subject.size > _MOST_JACOBIAN
    return [
        Asked(
            QUESTION,
            "non-normality of each block",
            (
                "nonnormality",
                "henrici_departure",
                "numerical_radius",
                "kreiss_constant",
                "transient_growth",
            ),
            lambda: [_block(subject, name) for name in blocks],
            none,
        ),
        Asked(
            QUESTION,
            "Schur profile",
            ("schur_profile",),
            lambda: _schur(subject, list(blocks)),
            none,
        ),
        Asked(
            QUESTION,
            "chain motif",
            ("chain_motif",),
            lambda: _chain(subject, list(blocks)),
            none,
        ),
        Asked(
            QUESTION,
            "effective spectral radius",
            ("effective_spectral_radius",),
            lambda: _radius(subject),
            f"{subject.size} numbers of state: as many tangents at every step" if wide else "",
        ),
    ]


def _block(subject: Subject, name: str) -> Finding:
    found = nonnormality(subject.cell, block=name)
    details = {key: np.asarray(value) for key, value in found.details.items()}
    growth, power = float(details["growth"]), int(details["growth_power"])
    grows = f"grows {number(growth)}-fold by power {power}" if growth > 1.001 else "never grows"
    return Finding(
        QUESTION,
        f"{name}: departure from normality",
        (
            "nonnormality",
            "henrici_departure",
            "numerical_radius",
            "kreiss_constant",
            "transient_growth",
        ),
        float(found.value),
        unit="Henrici",
        text=f"{percent(details['relative'])} of its norm; spectral radius"
        f" {number(details['spectral_radius'])}, numerical radius"
        f" {number(details['numerical_radius'])}, norm {number(details['spectral_norm'])}, Kreiss"
        f" constant {number(details['kreiss_constant'])}; {grows}",
        notes=doubts(found),
    )


def _schur(subject: Subject, blocks: list[str]) -> Finding:
    lines, shares, notes = [], [], ()
    for name in blocks:
        found = schur_profile(subject.cell, block=name)
        energy = np.asarray(found.value)
        total = energy.sum() if energy.sum() > 0 else 1.0
        lines.append(Line(name, np.arange(len(energy)), energy / total))
        shares.append(1 - energy[0] / total)
        notes += doubts(found)
    largest = int(np.argmax(shares))
    return Finding(
        QUESTION,
        "energy that feeds forward",
        ("schur_profile",),
        100 * float(shares[largest]),
        unit="%",
        text=f"of {blocks[largest]} stands above the diagonal of its Schur form: modes that feed"
        " one another",
        notes=tuple(dict.fromkeys(notes)),
        drawing=Drawing(
            "Schur profile",
            "super-diagonal",
            "share of the energy",
            tuple(lines),
            "At 0 the eigenvalues. A peak at 1 is a hidden chain; nothing beyond 0 a normal"
            " matrix.",
        ),
    )


def _chain(subject: Subject, blocks: list[str]) -> Finding:
    found = {
        name: chain_motif(subject.cell, block=name, key=subject.key_for(20 + i))
        for i, name in enumerate(blocks)
    }
    least = min(found, key=lambda name: float(np.nan_to_num(found[name].details["p_value"], nan=2)))
    best = found[least]
    difference = np.asarray(best.details["order_difference"])
    of = "" if len(blocks) == 1 else f"{least}, the clearest of {len(blocks)} blocks: "
    return Finding(
        QUESTION,
        "chain motif",
        ("chain_motif",),
        float(best.details["asymmetry"]),
        unit="mean weight",
        text=f"{of}weights that run with the wave of a pulse less those against it; of random"
        f" orders {percent(best.details['p_value'])} have as much (p ="
        f" {number(best.details['p_value'])})",
        notes=best.statuses.sentences,
        drawing=Drawing(
            f"Chain motif of {least}",
            "how much later a unit peaks",
            "mean weight",
            (
                Line("mean weight", difference, np.asarray(best.value)),
                Line("random orders, 2.5 %", difference, np.asarray(best.details["band_low"])),
                Line("97.5 %", difference, np.asarray(best.details["band_high"])),
            ),
            "Units in the order in which a pulse reaches them. A peak right of 0, outside of the"
            " band, is a hidden chain.",
            mark=0.0,
        ),
    )


def _radius(subject: Subject) -> Finding:
    found = effective_spectral_radius(
        subject.cell,
        subject.stretch(_JACOBIAN_STEPS),
        burn_in=subject.settle,
    )
    return Finding(
        QUESTION,
        "effective spectral radius",
        ("effective_spectral_radius",),
        float(found.value),
        text="of the mean Jacobian under the signal",
        notes=doubts(found),
    )
