"""Several members of one run: all in one vectorised call, or one by one on several threads.

Both use one compiled program, whatever the number of calls. On CPUs the second is faster at every
size: XLA runs the small products of one network on one core, and batching them (``jax.vmap``)
neither makes them run on two nor saves much, while two calls from two threads do run at once. On an
accelerator the first is.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Float, PyTree

from echoic.core.checks import one_of
from echoic.core.model import AbstractModel
from echoic.core.threads import num_workers
from echoic.training.held_back import HeldBack, HeldBackStream
from echoic.training.loop import (
    Best,
    Constants,
    Member,
    Recipe,
    Sums,
    advance,
    begin,
    examine,
    keep_best,
    nothing_yet,
)
from echoic.training.members import part, stack
from echoic.training.stream import AbstractSource

# A call should be short enough to be interrupted and watched, and long enough for its overhead (a
# fraction of a millisecond) not to matter.
_SECONDS_A_CALL = 0.25


class Feed(NamedTuple):
    """What the host hands to a group's calls, good for the steps from ``start`` up to ``stop``."""

    start: int
    stop: int
    arrays: PyTree


@dataclasses.dataclass(eq=False)
class Group:
    """Members that are advanced by the same call: all of a stacked run, or a single one.

    All arrays have a leading axis for the members. ``members`` are their numbers in the run;
    ``active`` says which still train.
    """

    members: tuple[int, ...]
    constants: Constants
    state: Member
    best: Best
    active: np.ndarray
    step: int = 0
    feed: "Feed | None" = None
    next_feed: "Feed | None" = None


def mode_of(together: str, num_members: int) -> Literal["threads", "stacked"]:
    """How to train several members: what was asked for, or what is faster on this device."""
    one_of("together", together, ("auto", "threads", "stacked"))
    if together == "auto":
        together = "threads" if jax.default_backend() == "cpu" else "stacked"
    return "stacked" if together == "stacked" and num_members > 1 else "threads"


def make_groups(
    recipe: Recipe,
    source: AbstractSource,
    weights: Sequence[PyTree],
    constants: Sequence[Constants],
    mode: Literal["threads", "stacked"],
) -> list[Group]:
    """The members before training, in groups."""
    members = range(len(weights))
    groups = []
    for chosen in [tuple(members)] if mode == "stacked" else [(member,) for member in members]:
        shared = stack([constants[i] for i in chosen])
        state = begin(recipe, source, shared, stack([weights[i] for i in chosen]))
        active = np.ones(len(chosen), bool)
        groups.append(Group(chosen, shared, state, nothing_yet(state), active))
    return groups


def _compiled(function: Any, *arguments: Any) -> Any:
    """A program of ``filter_jit`` that any thread can call, whatever its JAX settings."""
    return function.lower(*arguments).compile()


class Engine:
    """Advances groups, several at once where there are several threads.

    The program is compiled by the thread that calls, whose JAX settings (precision, promotion) the
    workers do not share; they only run it.
    """

    def __init__(self, recipe: Recipe, source: AbstractSource, groups: Sequence[Group], steps: int):
        self.recipe = recipe
        self.source = source
        self.groups = list(groups)
        self.steps = steps
        self._program: Any = None
        self._examiners: dict[int, Any] = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(num_workers(len(self.groups)))
        self._updates_a_call = 1

    @property
    def num_members(self) -> int:
        """Of all groups."""
        return sum(len(group.members) for group in self.groups)

    def advance(self, boundary: int, pause: Callable[[], bool]) -> bool:
        """Bring every active group to step ``boundary``, or stop where ``pause()`` says so.

        ``pause`` is asked after each call. Whatever interrupts the work waits until all calls have
        come back, so that no state is lost.

        **Returns** whether all are there.
        """
        pending: dict[concurrent.futures.Future, Group] = {}
        pausing = False
        try:
            for group in self.groups:
                self._submit(group, boundary, pending)
            while pending:
                done, _ = concurrent.futures.wait(
                    pending, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    self._take(pending, future)
                pausing = pausing or pause()
                for group in self.groups:
                    if not pausing and group not in pending.values():
                        self._submit(group, boundary, pending)
        finally:
            for future in list(pending):
                self._take(pending, future)
        return not any(self._has_work(group, boundary) for group in self.groups)

    def _has_work(self, group: Group, boundary: int) -> bool:
        going = group.active & (np.asarray(group.state.diverged) < 0)
        return group.step < boundary and bool(going.any())

    def _submit(self, group: Group, boundary: int, pending) -> None:
        if not self._has_work(group, boundary):
            return
        feed = self._feed(group)
        stop = min(boundary, feed.stop, group.step + self._updates_a_call)
        given = (
            self.recipe,
            self.source,
            group.constants,
            feed.arrays,
            jnp.asarray(group.active),
            jnp.asarray(group.step, jnp.int32),
            jnp.asarray(stop, jnp.int32),
            jnp.asarray(feed.start, jnp.int32),
        )
        if self._program is None:
            self._program = _compiled(advance, given, group.state)
        pending[self._pool.submit(self._call, given, group.state, stop)] = group
        if stop == feed.stop < self.steps:
            group.next_feed = self._make_feed(group, stop)

    def _call(self, given, state: Member, stop: int) -> tuple[Member, int, float]:
        started = time.perf_counter()
        state = jax.block_until_ready(self._program(given, state))
        return state, stop, time.perf_counter() - started

    def _take(self, pending: dict, future: concurrent.futures.Future) -> None:
        group = pending[future]
        group.state, stop, seconds = future.result()
        del pending[future]
        wanted = int(_SECONDS_A_CALL * (stop - group.step) / max(seconds, 1e-6))
        self._updates_a_call = max(1, min(wanted, 4 * self._updates_a_call))
        group.step = stop

    def _feed(self, group: Group) -> Feed:
        if group.next_feed is not None and group.next_feed.start == group.step:
            group.feed, group.next_feed = group.next_feed, None
        elif group.feed is None or not group.feed.start <= group.step < group.feed.stop:
            group.feed = self._make_feed(group, group.step)
        return group.feed

    def _make_feed(self, group: Group, first: int) -> Feed:
        if self.source.reach is None:
            return Feed(0, self.steps, None)
        fed = [
            self.source.feed(group.constants.data_key[i], first) for i in range(len(group.members))
        ]
        arrays = jtu.tree_map(lambda *parts: jnp.asarray(np.stack(parts)), *fed)
        return Feed(first, first + self.source.reach, arrays)

    def examine(
        self, held_back: HeldBack | HeldBackStream, *, of_best: bool = False
    ) -> tuple[Float[np.ndarray, "s"], Float[np.ndarray, "s"]]:
        """Loss and accuracy of all members: of their best weights, or of their present ones.

        Present weights that are better than the best so far take their place.
        """
        chosen = [group.best.weights if of_best else group.state.weights for group in self.groups]
        given = [
            (self.recipe, held_back, group.constants, weights)
            for group, weights in zip(self.groups, chosen, strict=True)
        ]
        if id(held_back) not in self._examiners:
            self._examiners[id(held_back)] = _compiled(examine, *given[0])
        program = self._examiners[id(held_back)]
        found = list(self._pool.map(lambda one: jax.block_until_ready(program(*one)), given))
        loss, accuracy = np.full((2, self.num_members), np.nan)
        for group, metrics in zip(self.groups, found, strict=True):
            loss[list(group.members)] = metrics.loss
            accuracy[list(group.members)] = metrics.accuracy
            if not of_best:
                diverged = group.state.diverged
                step = jnp.where(diverged < 0, jnp.asarray(group.step, jnp.int32), diverged)
                group.best = keep_best(group.best, group.state.weights, metrics.loss, step)
        return loss, accuracy

    def take_sums(self) -> Sums:
        """The sums of all members since they were last taken, which begin anew."""
        sums = [group.state.sums for group in self.groups]
        for group in self.groups:
            group.state = group.state._replace(sums=jtu.tree_map(jnp.zeros_like, group.state.sums))
        return jtu.tree_map(lambda *parts: np.concatenate([np.asarray(a) for a in parts]), *sums)

    @property
    def diverged(self) -> np.ndarray:
        """For each member the step that was not finite, or -1."""
        return np.concatenate([np.asarray(group.state.diverged) for group in self.groups])

    @property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """For each member the lowest validation loss so far, and the step that it was found at."""
        loss, step = [
            np.concatenate([np.asarray(getattr(group.best, name)) for group in self.groups])
            for name in ("loss", "step")
        ]
        return loss, step

    @property
    def active(self) -> np.ndarray:
        """Which members still train."""
        return np.concatenate([group.active for group in self.groups])

    def retire(self, member: int) -> None:
        """Train a member no further."""
        for group in self.groups:
            if member in group.members:
                group.active[group.members.index(member)] = False

    def reinstate(self, member: int) -> None:
        """Train a member on."""
        for group in self.groups:
            if member in group.members:
                group.active[group.members.index(member)] = True

    def stored(self) -> PyTree:
        """All that a checkpoint must hold."""
        return [
            {"state": group.state, "best": group.best, "active": group.active, "step": group.step}
            for group in self.groups
        ]

    def restore(self, stored: PyTree) -> None:
        """Go on from what a checkpoint held."""
        for group, found in zip(self.groups, stored, strict=True):
            group.state, group.best = found["state"], found["best"]
            group.active, group.step = found["active"], int(found["step"])

    def models(self, *, best: bool) -> tuple[AbstractModel, ...]:
        """The network of each member, with its best weights or its present ones."""
        found: dict[int, AbstractModel] = {}
        for group in self.groups:
            weights = group.best.weights if best else group.state.weights
            for i, member in enumerate(group.members):
                mine = part(weights, i), part(group.constants, i)
                found[member] = self.recipe.model(*mine)
        return tuple(found[member] for member in sorted(found))
