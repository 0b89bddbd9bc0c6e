"""What computing costs on this machine: each kind measured alone, before a simulated run begins.

The same task, model, rules and quorums as in the run, on one thread as on a node's lane. Medians: a
machine that does something else now and then does not change them.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import median
from typing import Any, Final

from torch import Tensor

from byzsgd.attacks import resolve
from byzsgd.cluster import NodeId
from byzsgd.compute import Compute
from byzsgd.experiment.build import layout_of, learnt, settings_of, shard_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.enact import real_conditions
from byzsgd.experiment.plots import fellows_of
from byzsgd.experiment.warm import warm
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Forge,
    Gradient,
    GradientComputed,
    Model,
    Prepare,
    Send,
    Update,
)
from byzsgd.protocol.effects import Inputs
from byzsgd.simulation.cost import Cost
from byzsgd.wire import frames_of

REPETITIONS: Final = 7
"""Of each computation; the first is not counted."""


def measured(experiment: Experiment) -> Cost:
    """Seconds on this machine. It takes about as long as a few steps of the run."""
    warm(experiment)
    with real_conditions():
        return _Bench(experiment).cost()


class _Bench:
    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._cluster = experiment.cluster
        self._settings = settings_of(experiment)
        self._task, self._flat = learnt(experiment)
        self._params = self._flat.vector()

    def cost(self) -> Cost:
        gradient_s, gradients = self._gradients()
        update_s, contract_s = self._update(gradients), self._contract(gradients)
        base = Cost(gradient_s, update_s, contract_s, send_s=self._send())
        vectors = tuple(vector for _, vector in gradients)
        lies = {liar: self._forge(liar, vectors) for liar in self._experiment.liars}
        nodes = {liar: replace(base, forge_s=forge_s) for liar, forge_s in lies.items() if forge_s}
        return replace(base, nodes=nodes)

    def _gradients(self) -> tuple[float, Inputs]:
        """How long one takes, and those of a quorum of workers."""
        workers = self._cluster.worker_ids[: self._cluster.q_workers]
        computes = [self._compute(worker) for worker in workers]
        last: dict[NodeId, Tensor] = {}
        took: list[float] = []
        while len(took) < REPETITIONS:
            step = len(took) // len(workers)
            for worker, compute in zip(workers, computes, strict=True):
                effect = ComputeGradient(step, self._params, last.get(worker))
                seconds, outcome = _timed(compute.run, effect)
                took.append(seconds)
                assert isinstance(outcome.event, GradientComputed)
                last[worker] = outcome.event.vector
        return _typical(took), tuple(last.items())

    def _update(self, gradients: Inputs) -> float:
        """With all but the last prepared, as a server has them by the time that one arrives."""
        compute = self._compute(self._cluster.server_ids[0])

        def once(step: int) -> float:
            for sender, vector in gradients[:-1]:
                compute.prepare(Prepare(step, sender, vector))
            return _timed(compute.run, Update(step, self._params, gradients))[0]

        return _typical(map(once, range(REPETITIONS)))

    def _contract(self, gradients: Inputs) -> float:
        """Models one step apart from each other."""
        servers = self._cluster.server_ids[: self._cluster.q_servers]
        rate = self._settings.rate.at(0)
        moved = [self._params.sub(vector, alpha=rate) for _, vector in gradients]
        models = tuple((node, moved[node.index % len(moved)]) for node in servers)
        compute = self._compute(servers[0])
        return _repeated(compute.run, Contract(1, models))

    def _forge(self, liar: NodeId, vectors: tuple[Tensor, ...]) -> float:
        """One word of this liar to all it speaks to; nothing where no vector is made for it."""
        lie, cluster = self._experiment.liars[liar], self._cluster
        if resolve(lie.attack).vector is None:
            return 0.0
        if liar.role == "server":
            send = Send(cluster.worker_ids, Model(1, self._params))
            forge = Forge((send,), lie.attack, lie.options, (self._params,), vectors)
        else:
            known = vectors[: 1 + len(fellows_of(self._experiment, liar))]
            send = Send(cluster.server_ids, Gradient(1, vectors[0]))
            forge = Forge((send,), lie.attack, lie.options, known)
        return _repeated(self._compute(liar).run, forge)

    def _send(self) -> float:
        """Encoding a vector once and copying it for each worker, a worker's share of that.

        What a network then takes is no figure of this machine: it is a delay, or a file's `send_s`.
        """
        layout, copies = layout_of(self._experiment, self._flat.dimension), self._cluster.workers

        def scatter() -> None:
            frames = frames_of(self._params, layout)
            for _ in range(copies):
                for frame in frames:
                    bytes(frame)

        return _repeated(scatter) / copies

    def _compute(self, node: NodeId) -> Compute:
        shard = shard_of(self._experiment, node, self._task)
        return Compute(node, self._task, self._flat, self._settings, shard)


def _timed(call: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call(*given)
    return time.perf_counter() - start, result


def _repeated(call: Callable[..., Any], *given: Any) -> float:
    return _typical(_timed(call, *given)[0] for _ in range(REPETITIONS))


def _typical(took: Iterable[float]) -> float:
    """The first time things are looked up, and memory is asked for."""
    return median(list(took)[1:])
