"""What an app is told beside its release: the owner's settings, and the secrets that were made up or set.

app.env, secrets/    secrets: made up once, kept for all releases; each store has its own
settings.json        what the owner has set
undo.json            what was there before a change that is being tried, and only while it is
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aweigh.errors import ConfigError, UsageError
from aweigh.guard import deploy_key
from aweigh.secret import Secret
from aweigh.targets.compose.files import read, write
from aweigh.targets.compose.plan import POSTGRES, VALKEY, Plan
from aweigh.targets.compose.render import (
    ADDRESSES,
    DATABASE,
    ENVIRONMENT,
    PASSWORD,
    USER,
    VALKEY_CONF,
    environment_files,
)
from aweigh.targets.local.dotenv import read_dotenv

OVERRIDE = "compose.override.yaml"
SETTINGS, UNDO = "settings.json", "undo.json"
_PLAIN_SECRET = re.compile(r"[A-Za-z0-9 !%&()*+,./:;<=>?@\[\]^_{|}~-]+")
"""What all readers of such files take for itself: no quotes, no $, no #, no backslash."""
_MADE_UP = frozenset({"DATABASE_URL", "REDIS_URL"})
"""They belong to the containers that are there."""


class Before(msgspec.Struct, frozen=True):
    """Both files as they were before a change that release ``number`` is to bring."""

    number: int
    settings: bytes | None
    environment: bytes | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings and secrets in an app's folder."""

    folder: Path

    # -- secrets -----------------------------------------------------------------------------------------------------

    def needs_secrets(self, plan: Plan) -> list[str]:
        """Which stores have no password here yet."""
        return [one for one in plan.stores if not (self.folder / ADDRESSES[one]).is_file()]

    def make_secrets(self, plan: Plan, *, named: tuple[str, ...] = ()) -> list[str]:
        """Makes up what is not there yet, for the app and for its stores; the names of what was made up.

        Raises:
            StorageFull: the disk is full.
            ConfigError: what is kept cannot be read.
        """
        made = []
        for store in self.needs_secrets(plan):
            password = secrets.token_hex(24)
            if store == "postgresql":
                name, url = "DATABASE_URL", f"postgresql://{USER}:{password}@{POSTGRES}:5432/{DATABASE}"
                write(self.folder / PASSWORD, password.encode(), mode=0o444)
            else:
                name, url = "REDIS_URL", f"redis://:{password}@{VALKEY}:6379/0"
                write(self.folder / VALKEY_CONF, f"requirepass {password}\n".encode(), mode=0o444)
            # The address last: with it the store counts as known.
            write(self.folder / ADDRESSES[store], _lines({name: Secret(url)}))
            made.append(name)
        there = self._in(ENVIRONMENT)
        new = {one: Secret(secrets.token_hex(32)) for one in (deploy_key.VARIABLE, *named) if one not in there}
        if new or not (self.folder / ENVIRONMENT).is_file():
            write(self.folder / ENVIRONMENT, _lines(there | new))
        return sorted([*made, *new])

    def secrets(self, plan: Plan) -> dict[str, Secret]:
        """What the containers of a plan are told in secret, by name.

        Raises:
            ConfigError: a file cannot be read.
        """
        found: dict[str, Secret] = {}
        for name in environment_files(plan):
            found |= self._in(name)
        return found

    def mark(self, plan: Plan) -> str:
        """A word that changes with the secrets of a plan, and says nothing of them.

        Raises:
            ConfigError: a file cannot be read.
        """
        found = {name: one.reveal() for name, one in sorted(self.secrets(plan).items())}
        key = found.get(deploy_key.VARIABLE, "")
        return hmac.new(key.encode(), msgspec.json.encode(found), hashlib.sha256).hexdigest()[:16] if found else ""

    def _in(self, name: str) -> dict[str, Secret]:
        content = read(self.folder / name)
        try:
            text = "" if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} of the app is no text in UTF-8.") from error
        return {key: Secret(value) for key, value in read_dotenv(text, name=name).items()}

    # -- settings ----------------------------------------------------------------------------------------------------

    def plain(self) -> dict[str, str]:
        """What the owner has set, beside secrets.

        Raises:
            ConfigError: the file cannot be read.
        """
        content = read(self.folder / SETTINGS)
        try:
            return {} if content is None else msgspec.json.decode(content, type=dict[str, str])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{SETTINGS} of the app cannot be read.", hint="mend it, or take it away") from error

    def replace(self, plain: Mapping[str, str]) -> None:
        """Makes these the owner's settings; secrets stay as they are.

        Raises:
            StorageFull: the disk is full.
        """
        write(self.folder / SETTINGS, msgspec.json.encode(dict(sorted(plain.items()))))

    def set(self, plain: Mapping[str, str | None], hidden: Mapping[str, Secret | None]) -> None:
        """Changes settings and secrets; None takes one away. A name is one of both.

        Raises:
            UsageError: a secret has characters that not every reader takes alike, or belongs to a container.
        """
        for name in {**plain, **hidden}:
            if name in _MADE_UP:
                raise UsageError(f"{name} belongs to the containers here.", hint=f"set another in {OVERRIDE}")
        for name, secret in hidden.items():
            text = "x" if secret is None else secret.reveal()
            if _PLAIN_SECRET.fullmatch(text) is None or text != text.strip():
                raise UsageError(
                    f"The value of {name} has characters that not every reader of such files takes alike.",
                    hint=f"quotes, $, # and backslashes go into {OVERRIDE} in the app's folder",
                )
        gone = {name for name, value in {**plain, **hidden}.items() if value is None}
        settings = {name: one for name, one in self.plain().items() if name not in gone | hidden.keys()}
        kept = {name: one for name, one in self._in(ENVIRONMENT).items() if name not in gone | plain.keys()}
        self.replace(settings | {name: one for name, one in plain.items() if one is not None})
        kept |= {name: one for name, one in hidden.items() if one is not None}
        write(self.folder / ENVIRONMENT, _lines(kept))

    # -- changes that are tried --------------------------------------------------------------------------------------

    def remember(self, number: int) -> None:
        """Keeps both files as they are, before release ``number`` changes them.

        Raises:
            StorageFull: the disk is full.
        """
        before = Before(number, read(self.folder / SETTINGS), read(self.folder / ENVIRONMENT))
        write(self.folder / UNDO, msgspec.json.encode(before))

    def settle(self, live: int | None) -> None:
        """Ends a change: what was before is there again, unless the release that brought it is ``live`` (its number).

        Raises:
            StorageFull: the disk is full.
        """
        content = read(self.folder / UNDO)
        if content is None:
            return
        try:
            before = msgspec.json.decode(content, type=Before)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{UNDO} of the app cannot be read.", hint="take it away, and look whether the settings are right"
            ) from error
        if live is None or live < before.number:
            for name, was in ((SETTINGS, before.settings), (ENVIRONMENT, before.environment)):
                if was is None:
                    (self.folder / name).unlink(missing_ok=True)
                else:
                    write(self.folder / name, was)
        (self.folder / UNDO).unlink(missing_ok=True)


def _lines(found: Mapping[str, Secret]) -> bytes:
    lines = ["# Written by aweigh; 'aweigh config compose' changes what is set.\n"]
    return "".join([*lines, *(f"{name}={one.reveal()}\n" for name, one in sorted(found.items()))]).encode()
