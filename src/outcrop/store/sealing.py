"""Secrets at rest: encrypted with one master key, which is not in the database. Knows no records.

The secret of an access key must be had again, because a signature can only be checked by someone who has it;
so it can't be a hash. What is sealed says which master key it takes, and is bound to what it is the secret
of: moved to another record it does not open.
"""

from __future__ import annotations

import hmac
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from outcrop.errors import OutcropError
from outcrop.store.files import make_once, refuse_shared

if TYPE_CHECKING:
    from outcrop.config.settings import Secret

KEY_FILE: Final = "master.key"

_FORM: Final = "v1"  # AES-256-GCM with a random nonce of 12 bytes before the text
_NONCE: Final = 12
_KEY: Final = 32
_HOW: Final = "Give 32 random bytes in base64 or hex: `openssl rand -base64 32`."


class Sealer:
    """Seals and opens secrets with a master key of 32 bytes. `randomness` gives so many random bytes."""

    def __init__(self, master: bytes, randomness: Callable[[int], bytes] = os.urandom) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(master) != _KEY:
            raise ValueError(f"a master key has {_KEY} bytes, not {len(master)}")
        self._cipher = AESGCM(master)
        self._randomness = randomness
        # Tells keys apart and nothing about them: they are 256 random bits.
        self._name = hmac.digest(master, b"outcrop master key", "sha256")[:4].hex()

    def __repr__(self) -> str:
        return f"Sealer({self._name})"

    def seal(self, secret: bytes, about: str) -> str:
        """The secret, encrypted. `about` names what it belongs to; it is not in the result."""
        nonce = self._randomness(_NONCE)
        sealed = self._cipher.encrypt(nonce, secret, about.encode())
        return f"{_FORM}.{self._name}.{b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, about: str) -> bytes:
        """The secret again. Raises OutcropError: another master key, another `about`, or damage."""
        from cryptography.exceptions import InvalidTag

        form, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        if form != _FORM:
            raise OutcropError(
                f"The secret of {about} is sealed in a way this version of Outcrop does not know.",
                "Use the version that wrote it, or a newer one.",
            )
        if name != self._name:
            raise OutcropError(
                f"The secret of {about} is sealed with master key {name}, and this one is {self._name}.",
                f"Put back the other key: `{KEY_FILE}` in the data folder, or what `data.secret_key` names.",
            )
        try:
            data = b64decode(text, validate=True)
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], about.encode())
        except (InvalidTag, ValueError) as error:
            raise OutcropError(
                f"The secret of {about} does not open: it is damaged, or belongs to something else.",
                "Restore the state from a copy, or make a new key in its place.",
            ) from error


def master_key(folder: Path, reference: Secret | None, env: Mapping[str, str]) -> bytes:
    """The 32 bytes that secrets are sealed with: what `reference` names, else `master.key` in the data
    folder.

    The file is made at the first use. Raises OutcropError when it is readable by others, or holds no key, and
    ConfigError when the reference leads nowhere.
    """
    if reference is not None:
        return _parse(reference.reveal(env), repr(reference), _HOW)
    path = folder / KEY_FILE
    if not path.exists():
        make_once(path, _write)
    try:
        refuse_shared(path, path.stat().st_mode)
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise OutcropError(f"{path} can't be read: {error.strerror}.", "Make it readable for you.") from error
    return _parse(text, str(path), "Put back the one the state was sealed with.")


def _write(path: Path) -> None:
    path.write_text(b64encode(secrets.token_bytes(_KEY)).decode() + "\n", encoding="ascii")


def _parse(text: str, name: str, fix: str) -> bytes:
    compact = "".join(text.split())
    for decode in (bytes.fromhex, lambda each: b64decode(each, validate=True)):
        try:
            key = decode(compact)
        except ValueError:
            continue
        if len(key) == _KEY:
            return key
    raise OutcropError(f"{name} is not a master key: it needs {_KEY} bytes in base64 or hex.", fix)
