"""Who is where: addresses and public keys of the nodes, apart from the experiment.

    experiment = "4f1c…"               # digest of the experiment file it was made for
    encryption = "curve"               # or "none", for loopback, ipc and memory only

    [nodes.server-0]
    address = "tcp://10.0.0.1:7000"    # the first of as many ports as there are later nodes
    public_key = "…"

Of two linked nodes the earlier one listens, on a port kept for the other: the port says who may
speak on it.
"""

import hashlib
import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.runtime.curve import check_key

Encryption = Literal["curve", "none"]
TCP: Final = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(?P<port>\d{1,5})")
IPC: Final = re.compile(r'ipc://(?P<path>/[^"\\\x00-\x1f\x7f]+)')
MEMORY: Final = re.compile(r"memory://(?P<name>[A-Za-z0-9._-]{1,80})")
IPC_PATH_BYTES_MAX: Final = 100
"""The kernel allows 107 for a socket's path, of which a suffix takes a few."""


@dataclass(frozen=True)
class Entry:
    """One node: where it listens and the key it must prove. Port 0 lets the system choose."""

    address: str
    public_key: str


@dataclass(frozen=True)
class Roster:
    """All nodes of a run. Raises `ConfigError` for addresses or keys that cannot work."""

    experiment: str
    nodes: Mapping[NodeId, Entry]
    encryption: Encryption = "curve"
    chosen: Mapping[tuple[NodeId, NodeId], str] = field(default_factory=dict)
    """Endpoints that the system chose, by (listener, peer)."""

    def __post_init__(self) -> None:
        keys: dict[str, NodeId] = {}
        for node, entry in self.nodes.items():
            _check_address(node, entry.address, len(self.nodes), self.encryption)
            other = keys.setdefault(check_key(entry.public_key), node)
            if other != node:
                raise ConfigError(f"{node} and {other} have the same public key: give each its own")
        _check_memory([entry.address for entry in self.nodes.values()], self.encryption)

    @property
    def shares_memory(self) -> bool:
        """Whether all nodes are processes of one host that read from each other's memory."""
        return all(MEMORY.fullmatch(entry.address) for entry in self.nodes.values())

    @property
    def run(self) -> bytes:
        """16 bytes that name this run: the experiment and everybody's keys."""
        keys = [[str(node), entry.public_key] for node, entry in sorted(self.nodes.items())]
        text = json.dumps([self.experiment, keys], separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()[:16]

    def entry(self, node: NodeId) -> Entry:
        if node not in self.nodes:
            known = ", ".join(str(other) for other in sorted(self.nodes))
            raise ConfigError(f"the roster has no {node}; it has {known}")
        return self.nodes[node]

    def endpoint(self, listener: NodeId, peer: NodeId) -> str:
        """Where `listener` listens for `peer`."""
        if (listener, peer) in self.chosen:
            return self.chosen[listener, peer]
        address = self.entry(listener).address
        later = sorted(node for node in self.nodes if node > listener)
        offset = later.index(peer)
        if match := TCP.fullmatch(address):
            port = int(match["port"])
            return f"tcp://{match['host']}:{port + offset if port else '*'}"
        return f"{address}-{peer}"

    def to_toml(self) -> str:
        lines = [f'experiment = "{self.experiment}"', f'encryption = "{self.encryption}"']
        for node, entry in sorted(self.nodes.items()):
            lines += ["", f"[nodes.{node}]", f'address = "{entry.address}"']
            lines += [f'public_key = "{entry.public_key}"']
        return "\n".join(lines) + "\n"


def read_roster(path: Path) -> Roster:
    """Raises `ConfigError` naming the file and what is wrong in it."""
    try:
        table = tomllib.loads(path.read_text())
        nodes = {
            NodeId.parse(name): Entry(entry["address"], entry["public_key"])
            for name, entry in table["nodes"].items()
        }
        encryption = table.get("encryption", "curve")
        if encryption not in ("curve", "none"):
            raise ConfigError(f'encryption = {encryption!r}: write "curve" or "none"')
        if type(table["experiment"]) is not str:
            raise ConfigError(f"experiment = {table['experiment']!r}: must be a digest in quotes")
        return Roster(table["experiment"], nodes, encryption)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: no readable roster ({error})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: a roster needs `experiment` and for each node `address` and `public_key` "
            f"({type(error).__name__}: {error}); `byzsgd keygen` writes one"
        ) from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _check_address(node: NodeId, address: object, nodes: int, encryption: str) -> None:
    tcp = TCP.fullmatch(address) if isinstance(address, str) else None
    ipc = IPC.fullmatch(address) if isinstance(address, str) else None
    if tcp and int(tcp["port"]) + nodes > 65_536:
        raise ConfigError(f"{node}: {address} leaves no room for {nodes} ports up to 65535")
    if ipc and len(ipc["path"].encode()) > IPC_PATH_BYTES_MAX:
        raise ConfigError(f"{node}: the path in {address} is over {IPC_PATH_BYTES_MAX} bytes")
    memory = MEMORY.fullmatch(address) if isinstance(address, str) else None
    if not tcp and not ipc and not memory:
        raise ConfigError(
            f"{node}: {address!r} is no address: write tcp://IP:PORT, ipc:///PATH or memory://NAME"
        )
    if encryption == "none" and tcp and not _loopback(tcp["host"]):
        raise ConfigError(
            f'{node}: encryption = "none" is for loopback and ipc only, not for {address}'
        )
    if tcp and not _is_address(tcp["host"]):
        raise ConfigError(
            f"{node}: nobody can listen on a name: write the IP address instead of {address!r}"
        )


def _check_memory(addresses: Sequence[str], encryption: str) -> None:
    """Memory is shared by all or by none, and nothing in it is encrypted."""
    shared = [address for address in addresses if MEMORY.fullmatch(address)]
    if shared and (encryption != "none" or len(shared) < len(addresses)):
        raise ConfigError(
            f'{shared[0]}: memory:// addresses need encryption = "none", and all nodes to have one'
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost"
    return True


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
