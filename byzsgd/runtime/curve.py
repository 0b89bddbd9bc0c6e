"""Who gets in: CURVE keys, and the allow-list that libzmq asks about every connection.

CURVE without an enforced ZAP domain lets anybody in, so each listening socket has a domain of its
own, `from-worker-3`, which admits one key. Who speaks on a link is thus proven before the first
byte of a message, and nothing in a message can claim otherwise.
"""

import os
import re
import struct
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

import zmq
from zmq.utils import z85

from byzsgd.errors import ConfigError
from byzsgd.runtime.sockets import READABLE, pending

ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"
Z85_KEY: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True)
class KeyPair:
    """A node's CURVE keys in Z85, 40 characters each. The secret one is never printed."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"

    @classmethod
    def generate(cls) -> "KeyPair":
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    def write(self, path: Path) -> None:
        """Write a file that only its owner may read. Raises `ConfigError`, also if there is one."""
        text = f'public = "{self.public}"\nsecret = "{self.secret}"\n'
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError(
                f"{path} exists; a key is never overwritten: remove it first"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    @classmethod
    def read(cls, path: Path) -> "KeyPair":
        try:
            table = tomllib.loads(path.read_text())
            pair = cls(table["public"], table["secret"])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
            raise ConfigError(
                f"{path}: no readable key file ({type(error).__name__}: {error}); "
                f"make one with `byzsgd keygen`"
            ) from None
        if not (is_key(pair.public) and is_key(pair.secret)):
            raise ConfigError(f"{path}: its two keys must be 40 characters of Z85 each")
        if zmq.curve_public(pair.secret.encode()).decode() != pair.public:
            raise ConfigError(f"{path}: its public and its secret key do not belong together")
        return pair


def is_key(key: object) -> TypeGuard[str]:
    if type(key) is not str or not Z85_KEY.fullmatch(key):
        return False
    try:
        _raw(key)
    except struct.error:  # five characters can say more than four bytes hold
        return False
    return True


def check_key(key: object) -> str:
    """A public key: what is wrong with a secret one must not be printed."""
    if not is_key(key):
        raise ConfigError(f"{key!r:.60} is no CURVE key: 40 characters of Z85 are expected")
    return key


class AllowList:
    """Answers libzmq's question, over ZAP: may this key connect to this domain?

    Anything that is not a plain yes is a no. One per context, bound before any listening socket.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Mapping[bytes, str]) -> None:
        """`keys` has the one admitted public key of each domain."""
        self._keys = {domain: _raw(key) for domain, key in keys.items()}
        self.denied = 0
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ZAP_ADDRESS)

    def answer(self) -> None:
        """Answer every question that is waiting; called when the socket is readable."""
        while pending(self.socket) & READABLE:
            request = self.socket.recv_multipart()
            verdict = (b"200", b"OK") if self.admits(request) else (b"400", b"not in the roster")
            self.denied += verdict[0] == b"400"
            sequence = request[1] if len(request) > 1 else b""
            self.socket.send_multipart([b"1.0", sequence, *verdict, b"", b""])

    def admits(self, request: list[bytes]) -> bool:
        """Whether a ZAP request, its seven frames, shows the key that its domain is for."""
        if len(request) != 7:
            return False
        version, _, domain, _, _, mechanism, key = request
        return version == b"1.0" and mechanism == b"CURVE" and self._keys.get(domain) == key


def _raw(key: str) -> bytes:
    return bytes(z85.decode(key.encode()))
