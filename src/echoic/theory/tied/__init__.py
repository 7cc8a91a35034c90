r"""Networks with tied weights: drawn once, kept for all time, driven by the user's own input.

Usage: the law of a cell gives the unit (or build one from samples of its quenched numbers), then
cut windows and ask for the reach. A solver may change ``sigma`` and ``bias`` and call again:
nothing is compiled anew as long as the shapes stay.

```python
unit = tied.unit_of(cell.hyperparameters(), input_size=m, hidden_size=256, units=512, key=key)
unit = tied.LSTM(sigma=sigma, bias=bias, input=input)          # or: shapes (4,), (4, M), (4, M, m)
windows = tied.windows_of(inputs, number=8, max_lag=500, burn_in=500)            # (8, 1001, m)
curves = tied.reach(unit, windows, max_lag=500, burn_in=500, key=key)
curves.gradient_reach, curves.coherent_reach, curves.input_reach(256), curves.trusted_lag(256)
```

**Fields.** As n grows, unit i sees the rest of the network through its fields
``eta_k(t) = sum_j W_k,ij read_j(t-1)``, one a gate k, W_k,ij of variance ``sigma_k^2 / n``. Over
units they are Gaussian, independent between gates, with covariance
``sigma_k^2 < read_a(t-1) read_b(t'-1) >`` between times t, t' and between replicas a, b (the same
weights on different stretches of the input). The average runs over the population: over fields and
over the quenched numbers of a unit (biases, input weights, moduli), which stay as they are for all
time. Without tied weights, fields of different times would be independent.

**Tangents.** A perturbation of unit i obeys ``delta' = A_i(t) delta + sum_k B_k,i(t) delta_eta_k``,
A and B the derivatives of its own update at fixed fields and by the fields. The fields
``delta_eta_k = sum_j W_k,ij delta read_j`` are Gaussian with covariance
``sigma_k^2 < delta read_a(t) delta read_b(t') >``, again over *two* times: a perturbation that sits
on unit j for many steps kicks unit i through the same W_ij at every one of them, and the kicks add
up as amplitudes. An equation for the mass at one time, ``G^2' = <A^2> G^2 + sigma^2 <B^2> G^2``,
forgets this. For the linear network ``A + B W`` with constants the two-time equation gives
``G(k)^2 = sum_L binomial(k, L)^2 A^2(k-L) (B sigma)^2L``, with growth rate ``A + B sigma``; the
one-time equation ``(A^2 + B^2 sigma^2)^k`` is exponentially too small. Only where ``A = 0`` (a
plain network) do they agree.
``G(k)^2 = < delta_a(k)^2 >`` from perturbations of unit mean square, independent over units; the
coherent reach is ``< delta_a(k) delta_b(k) >`` over pairs of different replicas, since the squared
norm of a mean over independent inputs is the mean over pairs.

**Solution.** A population of M units, whose fields are drawn as random mixtures of what its own
units show, so that every covariance above is that of the population; error of order 1/sqrt(M) in
the fields, and of order hops^2 / M in what passed. What never left its unit is followed exactly,
without random numbers but the quenched ones; plain networks multiply ``sigma^2 < B_a B_b >`` and
need no tangents at all. An orthogonal W of gain sigma has the same limit.
"""

from echoic.theory.tied.gated import GRU, LSTM, ResetBeforeGRU
from echoic.theory.tied.laws import NoTheory, unit_of
from echoic.theory.tied.reach import TiedReach, reach, windows_of
from echoic.theory.tied.units import Fields, Minimal, Residual, Unit, Vanilla

__all__ = [
    "GRU",
    "LSTM",
    "Fields",
    "Minimal",
    "NoTheory",
    "ResetBeforeGRU",
    "Residual",
    "TiedReach",
    "Unit",
    "Vanilla",
    "reach",
    "unit_of",
    "windows_of",
]
