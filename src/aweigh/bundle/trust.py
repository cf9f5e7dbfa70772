"""The trust policy: whose signatures count, for which bundles, from when to when. It belongs to the one who loads.

A policy is a TOML file, or a folder of public keys (``NAME.pub``), each of which may sign any bundle without code::

    signatures = 1                      # how many of the keys below must have signed

    [[keys]]
    signer = "ana@example.com"
    file = "ana.pub"                    # beside this file; or public = "-----BEGIN PUBLIC KEY-----..."
    bundles = ["penguins", "fraud-*"]   # names it may sign; all, when left out
    from = 2026-01-01                   # a day or a moment; a day begins and ends in UTC
    until = 2027-01-01
    code = true                         # also bundles that run their maker's own Python
    revoked = "laptop stolen on 2026-05-01"

Times are compared with the clock of the machine that loads: a signature says nothing of when it was made, or whoever
steals an expired key could date it back.
"""

import datetime as dt
import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aweigh.bundle.keys import MAX_KEY_BYTES, PublicKey, own_public, read_public
from aweigh.errors import ConfigError

MAX_POLICY_BYTES = 2**20
MAX_KEYS = 256
KEY_SUFFIX = ".pub"
OWN_SIGNER = "the owner of this server"
"""What the user's own key is called: visitors read it too, to whom "you" would be somebody else."""
_KEYS = {"signer", "file", "public", "bundles", "from", "until", "code", "revoked"}


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key and what its signature is good for; ``begins`` counts, ``ends`` does not, None is no bound."""

    signer: str
    key: PublicKey
    bundles: tuple[str, ...] = ("*",)
    begins: dt.datetime | None = None
    ends: dt.datetime | None = None
    code: bool = False
    revoked: str = ""

    def refusal(self, name: str, *, has_code: bool, now: dt.datetime) -> str:
        """Why its signature does not count for a bundle of that name now; empty when it does."""
        if self.revoked:
            return f"the key of {self.signer} is revoked ({self.revoked})"
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.bundles):
            return f"{self.signer} may not sign bundles named {name!r}"
        if self.begins is not None and now < self.begins:
            return f"the key of {self.signer} counts from {_told(self.begins)} on"
        if self.ends is not None and now >= self.ends:
            return f"the key of {self.signer} counted until {_told(self.ends)}"
        if has_code and not self.code:
            return f"{self.signer} may not sign bundles that run their maker's own Python"
        return ""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count; ``signatures`` of them, by different keys, are needed."""

    keys: tuple[TrustedKey, ...]
    signatures: int = 1

    def with_id(self, keyid: str) -> Iterator[TrustedKey]:
        """The keys of that id: several entries may speak of one key."""
        return (one for one in self.keys if one.key.keyid == keyid)


def own_trust(environ: Mapping[str, str]) -> Trust | None:
    """The user's trust in themselves: bundles signed with this user's own key, whatever they hold; None without one.

    Raises:
        UsageError: the key cannot be read.
    """
    key = own_public(environ)
    return None if key is None else Trust((TrustedKey(OWN_SIGNER, key, code=True),))


def _told(moment: dt.datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00").removesuffix(" 00:00")


def read_trust(path: Path) -> Trust:
    """The policy at a path: a TOML file, a single public key, or a folder of keys (with a ``trust.toml`` of its own).

    Raises:
        ConfigError: it says something that cannot be, or nothing.
        UsageError: a key cannot be read.
    """
    try:
        if path.is_dir():
            own = path / "trust.toml"
            # Even a link to nowhere is the policy: the keys alone would be trusted with more than it says.
            return _from_toml(own) if os.path.lexists(own) else _from_folder(path)
        if path.suffix == KEY_SUFFIX:
            return Trust((TrustedKey(path.stem, _key_at(path)),))
        return _from_toml(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", hint="--trust takes a file or a folder"
        ) from error


def _from_folder(path: Path) -> Trust:
    there = sorted(path.iterdir())
    policies = [one for one in there if one.suffix.lower() == ".toml"]
    if policies:
        raise ConfigError(
            f"{policies[0]} would not be read: the policy of a folder is its trust.toml.",
            hint="name it trust.toml, or name the file itself with --trust",
        )
    found = [one for one in there if one.suffix == KEY_SUFFIX and not one.name.startswith(".")]
    if not found:
        raise ConfigError(
            f"There is no key in {path}.", hint="put files that end in .pub there: aweigh keygen makes them"
        )
    if len(found) > MAX_KEYS:
        raise ConfigError(f"There are more than {MAX_KEYS} keys in {path}.", hint="take those away that nobody needs")
    return Trust(tuple(TrustedKey(one.stem, _key_at(one)) for one in found))


def _key_at(path: Path) -> PublicKey:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_KEY_BYTES)
    except OSError as error:
        raise ConfigError(
            f"The key {path} cannot be read: {error.strerror}.", hint="a policy's keys lie beside it"
        ) from error
    return read_public(content, name=str(path))


def _from_toml(path: Path) -> Trust:
    import tomllib  # few servers have a policy

    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", hint="--trust takes a file or a folder"
        ) from error
    if len(content) > MAX_POLICY_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_POLICY_BYTES // 2**20} MiB.")
    try:
        document = tomllib.loads(content.decode())
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply.") from error
    except ValueError as error:  # no TOML, no UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{path} is no TOML: {error}.") from error
    unknown = sorted(document.keys() - {"signatures", "keys"})
    if unknown:
        raise ConfigError(
            f"{path} has a setting {unknown[0]!r} that nobody reads.", hint="it takes signatures and keys"
        )
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys or len(keys) > MAX_KEYS:
        raise ConfigError(f"{path} names no key, or more than {MAX_KEYS}.", hint="write a [[keys]] for each signer")
    found = tuple(_entry(one, path, i) for i, one in enumerate(keys, start=1))
    needed = document.get("signatures", 1)
    different = len({one.key.raw for one in found})
    if isinstance(needed, bool) or not isinstance(needed, int) or not 1 <= needed <= different:
        raise ConfigError(f"{path}: signatures is a whole number from 1 to {different}, the number of its keys.")
    return Trust(found, needed)


def _entry(said: Any, path: Path, number: int) -> TrustedKey:
    where = f"{path}, key {number}"
    if not isinstance(said, dict):
        raise ConfigError(f"{where} is no table.", hint="write [[keys]] above it")
    unknown = sorted(said.keys() - _KEYS)
    if unknown:
        raise ConfigError(f"{where} has a setting {unknown[0]!r} that nobody reads.", hint=f"it takes {_listed(_KEYS)}")
    signer = _text(said, "signer", where)
    if ("file" in said) == ("public" in said):
        raise ConfigError(f"{where} has a file or a public key, one of the two.", hint='write file = "ana.pub"')
    if "file" in said:
        key = _key_at(path.parent / _text(said, "file", where))
    else:
        key = read_public(_text(said, "public", where).encode(), name=where)
    bundles = said.get("bundles", ["*"])
    if not isinstance(bundles, list) or not bundles or not all(isinstance(one, str) and one for one in bundles):
        raise ConfigError(f"{where}: bundles is a list of names.", hint='write bundles = ["penguins", "fraud-*"]')
    code = said.get("code", False)
    if not isinstance(code, bool):
        raise ConfigError(f"{where}: code is true or false.")
    revoked = said.get("revoked", "")
    if revoked is True:
        revoked = "revoked"
    if revoked is not False and not isinstance(revoked, str):
        raise ConfigError(f"{where}: revoked is the reason in words, or true.")
    if isinstance(revoked, str) and "revoked" in said and not revoked.strip():
        raise ConfigError(
            f"{where}: revoked is blank, which says neither yes nor no.", hint="write the reason, or true, or false"
        )
    begins, ends = _moment(said, "from", where), _moment(said, "until", where)
    if begins is not None and ends is not None and begins >= ends:
        raise ConfigError(f"{where} ends before it begins.")
    return TrustedKey(signer, key, tuple(bundles), begins, ends, code, revoked or "")


def _listed(names: "Sequence[str] | set[str]") -> str:
    return ", ".join(sorted(names))


def _text(said: dict[str, Any], name: str, where: str) -> str:
    text = said.get(name)
    if not isinstance(text, str) or not text.strip() or not text.replace("\n", "").isprintable():
        raise ConfigError(f"{where} has no {name}.", hint=f'write {name} = "..."')
    return text


def _moment(said: dict[str, Any], name: str, where: str) -> dt.datetime | None:
    """A day or a moment of the policy; without a zone it is UTC."""
    value = said.get(name)
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        try:
            return value.astimezone(dt.UTC) if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
        except OverflowError as error:
            raise ConfigError(f"{where}: {name} lies outside the years 1 to 9999 in UTC.") from error
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise ConfigError(f"{where}: {name} is a day or a moment, without quotes.", hint=f"write {name} = 2027-01-01")
