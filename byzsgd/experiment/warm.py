"""Compile and load the kernels of a run before any step is timed, or any process forked.

A kernel is compiled once per machine, which takes up to some seconds, and then read from a cache.
"""

import torch

from byzsgd.experiment.config import Experiment


def warm(experiment: Experiment) -> None:
    """Everything that aggregation at any node of this experiment may call."""
    torch.set_num_threads(1)
    cluster, rules = experiment.cluster, experiment.aggregation
    gradients = set(range(cluster.q_workers, 1 + cluster.gradients_awaited(experiment.plan.mode)))
    models = set(range(cluster.rejoin_quorum, cluster.servers + 1))
    if experiment.liars:  # who do not wait for a whole quorum
        gradients.add(max(cluster.f_workers + 1, rules.gradient_rule.minimum_n(0)))
        models.add(1)
    for rule, counts, f in (
        (rules.gradient_rule, gradients, rules.tolerated(cluster)),
        (rules.model_rule, models, cluster.f_servers),
    ):
        for n in sorted(counts):
            rule.warm([n], rule.tolerable(n, f))
