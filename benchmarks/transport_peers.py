"""What is compared with this project's links: raw sockets and gloo, in processes."""

import socket
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import numpy as np
import torch

from benchmarks.processes import meet, part_of, timed

WARM_UP: Final = 3
"""Vectors of each sender that do not count."""


@dataclass(frozen=True)
class Measured:
    nbytes: int
    wall_s: float
    cpu_s: float

    @property
    def gb_per_s(self) -> float:
        return self.nbytes / self.wall_s / 1e9

    @property
    def cpu_s_per_gb(self) -> float:
        return self.cpu_s / (self.nbytes / 1e9)


def raw_sockets(nbytes: int, count: int) -> Measured:
    """Blocking sockets, received into memory that is there already."""
    listening = socket.create_server(("127.0.0.1", 0))

    def send(pipe: Connection) -> None:
        with socket.create_connection(listening.getsockname()) as there:
            vector = np.ones(nbytes, dtype=np.uint8).data
            for number in range(WARM_UP + count):
                if number == WARM_UP:
                    meet(pipe)
                there.sendall(vector)
            there.recv(1)  # until all has been read
            meet(pipe)

    def receive(pipe: Connection) -> None:
        there, _ = listening.accept()
        with there:
            vector = memoryview(bytearray(nbytes))
            for number in range(WARM_UP + count):
                if number == WARM_UP:
                    meet(pipe)
                at = 0
                while at < nbytes:
                    at += there.recv_into(vector[at:])
        meet(pipe)

    with listening:
        return Measured(nbytes * count, *timed([receive, send]))


def gloo_gather(senders: int, nbytes: int, rounds: int) -> Measured:
    """As many ranks and one more, which is sent all vectors of a round."""
    import torch.distributed as dist

    with tempfile.NamedTemporaryFile() as store:

        def take_part(rank: int, pipe: Connection) -> None:
            torch.set_num_threads(1)
            world = senders + 1
            dist.init_process_group("gloo", f"file://{store.name}", rank=rank, world_size=world)
            vector = torch.ones(nbytes // 4)
            rows = [torch.empty_like(vector) for _ in range(world)] if rank == 0 else None
            for number in range(WARM_UP + rounds):
                if number == WARM_UP:
                    meet(pipe)
                dist.gather(vector, rows, dst=0)
            meet(pipe)

        parts = [part_of(take_part, rank) for rank in range(senders + 1)]
        return Measured(senders * nbytes * rounds, *timed(parts))
