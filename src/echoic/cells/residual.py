"""A residual path through time with weak coupling around it (Dubinin & Effenberger 2024)."""

from typing import Any, ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from echoic.cells.weights import Initialiser, affine, draw, present_law, record, sizes, start
from echoic.core.cell import Law, PointwiseCell
from echoic.core.checks import one_of
from echoic.init.dense import uniform
from echoic.init.orthogonal import identity
from echoic.init.parameters import Real, real
from echoic.init.spectrum import ResidualSpectrum


class Residual(PointwiseCell):
    """A weakly coupled residual network: ``x' = R x + coupling tanh(W x + V s + b)``, ``x_0 = 0``.

    With ``path="tanh"`` the residual path saturates: ``x' = tanh(R x) + coupling tanh(...)``. The
    exact form is a reconstruction of what Dubinin & Effenberger (2024) describe.

    R is block-diagonal and kept as one scale per unit (`moduli`) and one rotation per pair of
    units (`angles`), whatever the family, so that all families share one compilation. R and the
    coupling are not trained: [`trainable_filter`][echoic.cells.trainable_filter] leaves them out.

    **Arguments**
    - `input_size`, `hidden_size`: m and n (even for families that rotate).
    - `residual`: the family of R: ``init.identity(gain)``, ``init.rotation(modulus, period)``,
      ``init.heterogeneous_decay(tau_max)``, ``init.uniform_decay(low, high)``,
      ``init.heterogeneous_rotation(modulus)``, ``init.heterogeneous(tau_max)``.
    - `coupling`: the weight of the tanh term.
    - `path`: ``"linear"`` or ``"tanh"``.
    - `recurrent`, `input`, `bias`: initialisers of W (n, n), V (n, m), b (n,).
    - `key`: a JAX random key.

    **Misleads.** With moduli above 1 a linear path grows as modulus^T and overflows.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> from echoic import init
    >>> cell = Residual(1, 4, residual=init.identity(0.5), coupling=0.0, key=jax.random.key(0))
    >>> cell.step(jnp.ones(4), jnp.ones(1)).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    recurrent: Float[Array, "n n"]
    input: Float[Array, "n m"]
    bias: Float[Array, "n"]
    moduli: Float[Array, "n"]
    angles: Float[Array, "pairs"]
    coupling: Float[Array, ""]
    law: Law | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    path: Literal["linear", "tanh"] = eqx.field(static=True)

    fixed: ClassVar[tuple[str, ...]] = ("moduli", "angles", "coupling")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        residual: Any = identity(1.0),
        coupling: Real = 0.01,
        path: str = "linear",
        recurrent: Initialiser = uniform(),
        input: Initialiser = uniform(),
        bias: Initialiser = uniform(terms=2),
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        m, n = sizes(input_size, hidden_size)
        if not hasattr(residual, "spectrum"):
            raise ValueError(
                "residual must be a family with a known spectrum, such as init.identity(0.98) or"
                f" init.rotation(0.98, period=28), got {residual!r}."
            )
        residual_key, recurrent_key, input_key, bias_key = jr.split(key, 4)
        self.input_size, self.hidden_size = m, n
        self.path = one_of("path", path, ["linear", "tanh"])  # pyright: ignore
        self.moduli, self.angles = residual.spectrum(residual_key, n, dtype)
        if (self.moduli.shape, self.angles.shape) != ((n,), (n // 2,)):
            raise ValueError(
                f"residual must give {n} moduli and {n // 2} angles, {residual!r} gave shapes"
                f" {self.moduli.shape} and {self.angles.shape}."
            )
        coupling = real("coupling", coupling)
        self.coupling = jnp.asarray(coupling, dtype)
        self.recurrent = draw("recurrent", recurrent, recurrent_key, (n, n), dtype)
        self.input = draw("input", input, input_key, (n, m), dtype)
        self.bias = draw("bias", bias, bias_key, (n,), dtype)
        laws = record(
            path=path,
            residual=residual,
            coupling=coupling,
            recurrent=recurrent,
            input=input,
            bias=bias,
        )
        self.law = Law.of("Residual", laws, self._weights())

    def _weights(self) -> tuple[Array, ...]:
        return (
            *(self.recurrent, self.input, self.bias),
            *(self.moduli, self.angles, self.coupling),
        )

    def initial_state(self) -> Float[Array, "n"]:
        """Zeros."""
        return start(self, self.recurrent.dtype)

    def read(self, state: Float[Array, "n"]) -> Float[Array, "n"]:
        """The state itself."""
        return state

    def project(self, xs: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """``V s + b``."""
        return affine(self.input, self.bias, xs)

    def combine(
        self, state: Float[Array, "n"], drive: Float[Array, "n"], product: Float[Array, "n"]
    ) -> Float[Array, "n"]:
        """``R x + coupling tanh(drive + product)``."""
        carried = self.residual.apply(state)
        if self.path == "tanh":
            carried = jnp.tanh(carried)
        return carried + self.coupling * jnp.tanh(drive + product)

    @property
    def residual(self) -> ResidualSpectrum:
        """R in its structured form: ``apply``, ``matrix`` and ``eigenvalues``."""
        return ResidualSpectrum(self.moduli, self.angles)

    def residual_eigenvalues(self) -> Complex[Array, "n"]:
        """The exact eigenvalues of R."""
        return self.residual.eigenvalues()

    def residual_moduli(self) -> Float[Array, "n"]:
        """The moduli of the eigenvalues of R, largest first."""
        return jnp.sort(jnp.abs(self.residual.eigenvalues()))[::-1]

    def recurrent_blocks(self) -> dict[str, Float[Array, "n n"]]:
        """W, as ``recurrent``; R is not among them."""
        return {"recurrent": self.recurrent}

    def hyperparameters(self) -> Law | None:
        """The law of the weights, if they are still those that it drew."""
        return present_law(self.law, self._weights())
