"""A world of machines in virtual time: every fault the theory allows, from one seed.

    world      the heap of what will happen, and nothing else that moves the clock
    scheduler  who may hold letters back: in an asynchronous network, the adversary
    checkers   what must hold, watched from outside
    trace      what happened, for people; digest: the same as one number
    follow     a run once more, in the order that each node recorded

No clock, no socket, no thread: what is computed here is what a real node computes (`compute`), and
what goes wrong is what goes wrong in front of real sockets (`faults`).
"""
