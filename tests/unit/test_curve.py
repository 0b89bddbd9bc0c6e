"""Keys on disk, and who is let in."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from zmq.utils import z85

from byzsgd.errors import ConfigError
from byzsgd.runtime.curve import ZAP_ADDRESS, AllowList, KeyPair, check_key

OVERFLOWING = "#" * 40
"""Characters of Z85 all, but each five of them are more than four bytes can hold."""


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        KeyPair.read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# -- key files -----------------------------------------------------------------------------------


def test_a_key_file_is_read_back(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    pair.write(tmp_path / "key.toml")
    assert KeyPair.read(tmp_path / "key.toml") == pair


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_a_key_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        KeyPair.generate().write(tmp_path / "key.toml")
    finally:
        os.umask(before)
    assert (tmp_path / "key.toml").stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    pair.write(tmp_path / "key.toml")
    with pytest.raises(ConfigError, match="never overwritten"):
        KeyPair.generate().write(tmp_path / "key.toml")
    (tmp_path / "link.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="never overwritten"):
        KeyPair.generate().write(tmp_path / "link.toml")
    assert KeyPair.read(tmp_path / "key.toml") == pair


def test_where_no_key_file_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        KeyPair.generate().write(tmp_path / "missing" / "key.toml")


def test_a_hundred_pairs_are_a_hundred_pairs() -> None:
    pairs = [KeyPair.generate() for _ in range(100)]
    assert len({key for pair in pairs for key in (pair.public, pair.secret)}) == 200
    assert all(check_key(key) == key for pair in pairs for key in (pair.public, pair.secret))


def test_the_secret_key_is_not_printed() -> None:
    pair = KeyPair.generate()
    for text in (repr(pair), str(pair), f"{pair}", repr([pair]), f"{pair!r:.99}"):
        assert pair.secret not in text
        assert pair.public in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "public",
        'public = "x"',
        "\x00",
        "[public]\n[secret]",
        "public = 1\nsecret = 2",
        'public = "{public}"',
        'secret = "{secret}"',
        'public = "{public}"\nsecret = "{public}x"',
        'public = "{public}"\nsecret = ""',
        'public = "{public}"\nsecret = "' + OVERFLOWING + '"',
        'public = "' + OVERFLOWING + '"\nsecret = "{secret}"',
    ],
)
def test_a_broken_key_file_is_named(tmp_path: Path, text: str) -> None:
    pair = KeyPair.generate()
    path = tmp_path / "key.toml"
    path.write_text(text.replace("{public}", pair.public).replace("{secret}", pair.secret))
    complaint(path)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    complaint(tmp_path / "missing.toml")
    complaint(tmp_path)
    (tmp_path / "latin").write_bytes(b'public = "\xe9"')
    assert "byzsgd keygen" in complaint(tmp_path / "latin")


def test_keys_of_two_pairs_do_not_belong_together(tmp_path: Path) -> None:
    one, other = KeyPair.generate(), KeyPair.generate()
    KeyPair(one.public, other.secret).write(tmp_path / "key.toml")
    text = complaint(tmp_path / "key.toml")
    assert "do not belong together" in text
    assert other.secret not in text


@pytest.mark.parametrize(
    "harm", [lambda key: key[:-1], lambda key: key + "x", lambda key: key[:-1] + '"']
)
def test_a_damaged_secret_is_not_printed_either(tmp_path: Path, harm: Callable[[str], str]) -> None:
    pair = KeyPair.generate()
    damaged = harm(pair.secret)
    path = tmp_path / "key.toml"
    path.write_text(f"public = '{pair.public}'\nsecret = '{damaged}'\n")
    assert pair.secret[:20] not in complaint(path)


@pytest.mark.parametrize(
    "key", [None, 1, b"", "", "x" * 39, "x" * 41, "x" * 39 + '"', "x" * 39 + "\n", "é" * 40, []]
)
def test_what_is_no_key(key: object) -> None:
    with pytest.raises(ConfigError, match="is no CURVE key: 40 characters of Z85"):
        check_key(key)


def test_a_key_that_stands_for_no_bytes_is_none() -> None:
    """Refused by libzmq as well, in words that nobody understands."""
    with pytest.raises(ConfigError, match="is no CURVE key"):
        check_key(OVERFLOWING)


# -- the allow-list ------------------------------------------------------------------------------

KEY = KeyPair.generate().public
RAW = bytes(z85.decode(KEY.encode()))
QUESTION = [b"1.0", b"7", b"from-worker-0", b"127.0.0.1", b"", b"CURVE", RAW]


@pytest.fixture
def allow() -> Iterator[AllowList]:
    with zmq.Context[Any]() as context:
        keys = {b"from-worker-0": KEY, b"from-worker-1": KeyPair.generate().public}
        allow = AllowList(context, keys)
        yield allow
        allow.socket.close(0)


def test_the_key_of_its_domain_is_admitted(allow: AllowList) -> None:
    assert allow.admits(QUESTION)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, b"1.1"),
        (0, b""),
        (2, b"from-worker-1"),
        (2, b"from-worker-2"),
        (2, b""),
        (2, b"from-worker-0 "),
        (5, b"NULL"),
        (5, b"PLAIN"),
        (5, b"curve"),
        (5, b""),
        (6, b""),
        (6, RAW[:-1]),
        (6, RAW + b"\0"),
        (6, bytes(32)),
        (6, KEY.encode()),
    ],
)
def test_anything_else_is_not(allow: AllowList, position: int, value: bytes) -> None:
    assert not allow.admits([*QUESTION[:position], value, *QUESTION[position + 1 :]])


@pytest.mark.parametrize("request_", [[], QUESTION[:-1], [*QUESTION, b""], [b""] * 7, QUESTION[:1]])
def test_nor_is_a_question_of_another_shape(allow: AllowList, request_: list[bytes]) -> None:
    assert not allow.admits(request_)


def test_every_question_is_answered(allow: AllowList) -> None:
    with ask(allow) as asker:
        for question, status in [
            (QUESTION, b"200"),
            ([*QUESTION[:-1], bytes(32)], b"400"),
            ([b"1.0"], b"400"),
            ([b""], b"400"),
            (QUESTION, b"200"),
        ]:
            asker.send_multipart([b"", *question])
            assert allow.socket.poll(10_000)
            allow.answer()
            assert asker.poll(10_000)
            _, version, sequence, verdict, _, user, metadata = asker.recv_multipart()
            assert (version, verdict, user, metadata) == (b"1.0", status, b"", b"")
            assert sequence == (question[1] if len(question) > 1 else b"")
    assert allow.denied == 3


def ask(allow: AllowList) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = allow.socket.context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(ZAP_ADDRESS)
    return socket
