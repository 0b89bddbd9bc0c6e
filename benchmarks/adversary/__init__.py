"""The adversary at work: what papers claim of attacks and defences, beside what came of it here.

    python -m benchmarks.adversary                        # all presets, about an hour of one core
    python -m benchmarks.adversary alie momentum --quick  # a look at two of them, in minutes

Each preset is a file: its docstring says what is run, and what differs from the paper and why. It
prints its tables, states what the paper claims, and says yes or no from the numbers. All runs are
simulated, so they are the same every time on one machine. They are recorded as any sweep's
(`byzsgd report RUNS/adversary-alie`): a preset that is stopped goes on from its records.

Data are read from ./data or $BYZSGD_DATA. Where there are none the presets use the digits that come
with the package, and say so.
"""
