"""Many random worlds from one seed: clusters, bounds, lies, faults, schedulers.

cases   draw(seed, index): the tables of an experiment
judge   enacts a case and says what the checkers found
shrink  what is left of a failing case
hunt    all of it on every core
"""
