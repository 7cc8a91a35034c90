"""Which arrays of a cell an optimiser may touch."""

import equinox as eqx
import jax.tree_util as jtu
from jaxtyping import PyTree


def trainable_filter(tree: PyTree) -> PyTree:
    """True for every array that is trained, for ``eqx.partition``; any tree of modules.

    A class names the fields that are not trained in its class variable ``fixed``. A
    ``stop_gradient`` inside the module would not do: weight decay would shrink them all the same.

    **Example**
    >>> import equinox as eqx, jax
    >>> from echoic.cells import Residual
    >>> cell = Residual(1, 4, key=jax.random.key(0))
    >>> trained, fixed = eqx.partition(cell, trainable_filter(cell))
    >>> trained.moduli is None and fixed.moduli is not None
    True
    """

    def mark(node: PyTree) -> PyTree:
        mask = jtu.tree_map(eqx.is_inexact_array, node)
        for name in getattr(type(node), "fixed", ()):
            part = getattr(mask, name)
            mask = eqx.tree_at(lambda m, name=name: getattr(m, name), mask, _all_false(part))
        return mask

    def has_fixed(node: PyTree) -> bool:
        return isinstance(node, eqx.Module) and bool(getattr(type(node), "fixed", ()))

    return jtu.tree_map(mark, tree, is_leaf=has_fixed)


def _all_false(tree: PyTree) -> PyTree:
    return jtu.tree_map(lambda _: False, tree)
