"""A server's part: aggregate gradients and apply them, and take medians of models.

Workers take medians as well: of the models of a scatter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from byzsgd import resilience
from byzsgd.aggregators import AggregationError
from byzsgd.compute.settings import Settings
from byzsgd.incoming import Workspace
from byzsgd.observe import Outcome
from byzsgd.protocol import Contract, Contracted, Prepare, Update, Updated
from byzsgd.remembered import Aggregated, excluded, moved, safeguarded


@dataclass(frozen=True)
class Updates:
    """Of one node, on models of `dimension` parameters."""

    dimension: int
    settings: Settings
    workspace: Workspace
    clock: Callable[[], float]

    def prepare(self, effect: Prepare) -> Mapping[str, float]:
        """Work that shortens the `Update` to come, and the seconds that it took."""
        start = self.clock()
        self.workspace.incoming.prepare(effect.step, effect.sender, effect.gradient)
        return {"prepare_s": self.clock() - start}

    def update(self, effect: Update) -> Outcome:
        start = self.clock()
        rows = self.workspace.incoming.complete(effect.step, effect.gradients)
        stacked = self.clock()
        made = self._aggregated(effect, rows)
        aggregated = self.clock()
        params, memory = self._applied(effect, made)
        done = self.clock()
        measures = {
            "stack_s": stacked - start,
            "aggregate_s": aggregated - stacked,
            "apply_s": done - aggregated,
            **_oddities(made),
        }
        chosen = made.chosen if made else ()
        notes: dict[str, object] = {
            "quorum": [str(sender) for sender, _ in effect.gradients],
            "chosen": [str(node) for node in chosen],
        }
        if self.settings.safeguard:
            notes["excluded"] = excluded(memory)
        if self.settings.resilience:
            notes["gradients"] = self._seen(effect, rows, made)
            measures["watch_s"] = self.clock() - done
        return Outcome(Updated(effect.step, params, chosen, memory or None), measures, notes)

    def contract(self, effect: Contract) -> Outcome:
        start = self.clock()
        rows = self.workspace.stacked([vector for _, vector in effect.models])
        stacked = self.clock()
        rule, measures = self.settings.models, {"stack_s": stacked - start}
        try:
            params = rule(rows, rule.tolerable(len(rows), self.settings.cluster.f_servers))
        except AggregationError:
            # More liars than declared: no model can be trusted, and a node must not end of it.
            params = rows.nan_to_num().median(0).values
            measures["refused_contractions"] = 1
        done = self.clock()
        measures["contract_s"] = done - stacked
        if not self.settings.resilience:
            return Outcome(Contracted(effect.step, params), measures)
        seen = resilience.of_contraction(effect, rows, params, self.settings.liar_ids)
        measures["watch_s"] = self.clock() - done
        return Outcome(Contracted(effect.step, params), measures, {"models": seen})

    def _aggregated(self, effect: Update, rows: list[int]) -> Aggregated | None:
        """None with more liars than declared: no step can be trusted, but a node must not end."""
        try:
            return self._aggregate(effect, rows)
        except AggregationError:
            return None

    def _aggregate(self, effect: Update, rows: list[int]) -> Aggregated:
        settings, incoming, memory = self.settings, self.workspace.incoming, effect.memory or {}
        if settings.safeguard:
            workers = settings.cluster.workers
            return safeguarded(settings.safeguard, incoming.rows(rows), effect, workers)
        vector, choice = incoming.aggregate(rows, self._tolerated(rows))
        if choice is None:
            return Aggregated(vector, (), memory)
        chosen = tuple(effect.gradients[row][0] for row in choice.rows)
        return Aggregated(vector, chosen, memory, choice.exact)

    def _applied(
        self, effect: Update, made: Aggregated | None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The model after the step, and what is remembered; a refused update changes neither."""
        settings = self.settings
        memory = made.memory if made else effect.memory or {}
        if settings.server_momentum:
            vector = made.vector if made else None
            return moved(settings.server_momentum, effect, vector, memory, settings.rate)
        if made is None:
            return effect.params.clone(), memory
        return effect.params.sub(made.vector, alpha=settings.rate.at(effect.step)), memory

    def _seen(self, effect: Update, rows: list[int], made: Aggregated | None) -> dict[str, object]:
        """For the record only."""
        settings, store = self.settings, self.workspace.incoming.store
        vector = made.vector if made else torch.zeros(self.dimension)
        bound_of = None if settings.safeguard else settings.gradients.variance_bound
        bound = bound_of(len(rows), self._tolerated(rows)) if bound_of else None
        chosen = made.chosen if made else ()
        found = (store, rows, vector, settings.liar_ids)
        return resilience.of_update(effect, *found, chosen=chosen, bound=bound)

    def _tolerated(self, rows: list[int]) -> int:
        """Fewer for liars, who wait for fewer gradients."""
        return self.settings.gradients.tolerable(len(rows), self.settings.gradients_tolerated)


def _oddities(made: Aggregated | None) -> dict[str, float]:
    """What is counted because it should be rare."""
    if made is None:
        return {"refused_updates": 1}
    return {} if made.exact else {"approximate_selections": 1}
