"""A sweep: one experiment in all combinations of variants, each with several seeds.

    [sweep]
    repeat = 3                  # each with seed, seed + 1, …
    target = 0.9                # an accuracy: when was it first reached?
    [sweep.axes.system]         # named variants, each a table of the dotted keys that it changes
    plain = { "cluster.servers" = 1, "cluster.f_servers" = 0, "aggregation.gradients" = "average" }
    replicated = {}
    [sweep.axes]
    "plan.gather_every" = [1, 10]

What is done is known from the records alone: a sweep that was cut off goes on where it was.
"""
