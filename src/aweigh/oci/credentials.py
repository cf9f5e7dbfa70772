"""Who signs in to a registry: from variables, from what ``docker login`` and ``podman login`` left, or their programs.

The order is: ``AWEIGH_REGISTRY_*`` for the host that they name; the file of ``REGISTRY_AUTH_FILE``; Docker's own
``config.json``; podman's ``auth.json``. A file says a name and a password itself (``auths``), or which program knows
(``credHelpers`` for one host, ``credsStore`` for all).
"""

import base64
import binascii
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aweigh.errors import ConfigError, UsageError
from aweigh.oci.errors import name_of, quote
from aweigh.oci.reference import HUB, HUB_NAME, HUB_NAMES, check_host
from aweigh.secret import Secret
from aweigh.secret.read import read_secret

HOST_VARIABLE = "AWEIGH_REGISTRY_HOST"
USERNAME_VARIABLE = "AWEIGH_REGISTRY_USERNAME"
PASSWORD_VARIABLE = "AWEIGH_REGISTRY_PASSWORD"  # noqa: S105  a variable's name

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's own files and programs call Docker Hub."""
PROGRAM_S = 60.0
"""How long a credential program may take: some ask a cloud, some ask a person."""
MOST_BYTES = 2**20
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_NOT_FOUND = "credentials not found"
_IDENTITY = "<token>"
"""The name of who signs in by a token that stands for an identity."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A name and a password, or a token that stands for both; ``source`` says where it is from, as words."""

    username: str
    password: Secret
    source: str
    identity_token: Secret | None = None


class _Entry(msgspec.Struct, frozen=True):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class _File(msgspec.Struct, frozen=True, rename={"helpers": "credHelpers", "store": "credsStore"}):
    auths: dict[str, _Entry | None] | None = None
    helpers: dict[str, str] | None = None
    store: str | None = None


class _Answer(msgspec.Struct, frozen=True, rename="pascal"):
    username: str = ""
    secret: str = ""


def find_credential(host: str, environ: Mapping[str, str], *, program_s: float = PROGRAM_S) -> Credential | None:
    """Who signs in at a host (with its port); None where nobody is known.

    Raises:
        ConfigError: variables contradict each other, a file cannot be read, or a credential program fails.
    """
    own = _of_variables(host, environ)
    if own is not None:
        return own
    for path, name in _files(environ):
        file = _read(path, name)
        found = None if file is None else _of_file(file, name, host, environ, program_s=program_s)
        if found is not None:
            return found
    return None


def _of_variables(host: str, environ: Mapping[str, str]) -> Credential | None:
    username = environ.get(USERNAME_VARIABLE, "").strip()
    password = read_secret(environ, PASSWORD_VARIABLE)
    if not username and password is None:
        return None
    if not username or password is None:
        missing = USERNAME_VARIABLE if not username else PASSWORD_VARIABLE
        raise ConfigError(f"{missing} is not set, and the other half of the account is.", hint="set both, or none")
    said = environ.get(HOST_VARIABLE, "").strip().lower()
    if not said:
        # Without a host, the password for one registry would be sent to the one that the base image comes from.
        raise ConfigError(
            f"{USERNAME_VARIABLE} is set, and nothing says for which registry.",
            hint=f"set {HOST_VARIABLE} to its host, here {name_of(host)}",
        )
    try:
        check_host(said)
    except UsageError as error:
        raise ConfigError(f"{HOST_VARIABLE} holds what is no registry's host.", hint=error.hint) from error
    _check_name(username, USERNAME_VARIABLE)
    if _plain(said) != _plain(host):
        return None
    return Credential(username, password, f"{USERNAME_VARIABLE} and {PASSWORD_VARIABLE}")


def _files(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    named = environ.get("REGISTRY_AUTH_FILE", "")
    if named:
        yield Path(named), "the file of REGISTRY_AUTH_FILE"
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    docker = environ.get("DOCKER_CONFIG", "")
    if docker:
        yield Path(docker) / "config.json", "Docker's config.json"
    elif home is not None:
        yield home / ".docker" / "config.json", "Docker's config.json"
    running, settings = environ.get("XDG_RUNTIME_DIR", ""), environ.get("XDG_CONFIG_HOME", "")
    if running:
        yield Path(running) / "containers" / "auth.json", "podman's auth.json"
    if settings:
        yield Path(settings) / "containers" / "auth.json", "podman's auth.json"
    elif home is not None:
        yield home / ".config" / "containers" / "auth.json", "podman's auth.json"


def _read(path: Path, name: str) -> _File | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{_capital(name)} cannot be read: {error.strerror}.", hint="check who may read it"
        ) from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{_capital(name)} is larger than any such file.", hint="check what wrote it")
    try:
        return msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{_capital(name)} is not as 'docker login' writes it.", hint="put it right, or sign in anew"
        ) from error


def _of_file(file: _File, name: str, host: str, environ: Mapping[str, str], *, program_s: float) -> Credential | None:
    ours = [one for key, one in (file.helpers or {}).items() if _plain(key) == _plain(host)]
    for program in [*ours[:1], *([file.store] if file.store and not ours else [])]:
        found = ask_program(program, host, environ, limit_s=program_s)
        if found is not None:
            return found
    for key, entry in (file.auths or {}).items():
        if entry is not None and _plain(key) == _plain(host):
            found = _of_entry(entry, name)
            if found is not None:
                return found
    return None


def _of_entry(entry: _Entry, name: str) -> Credential | None:
    username, password = entry.username or "", entry.password or ""
    if entry.auth:
        try:
            username, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"An account in {name} is not readable.", hint="sign in anew") from error
        if not colon:
            raise ConfigError(f"An account in {name} has no password.", hint="sign in anew")
        password = password.rstrip("\0")
    _check_name(username, name)
    if entry.identitytoken:
        return Credential(username, Secret(""), name, Secret(entry.identitytoken))
    return Credential(username, Secret(password), name) if username and password else None


def ask_program(
    program: str, host: str, environ: Mapping[str, str], *, limit_s: float = PROGRAM_S
) -> Credential | None:
    """What ``docker-credential-PROGRAM get`` knows of a host; None where it knows nobody.

    Raises:
        ConfigError: there is no such program, its name is none, or it fails or takes too long.
    """
    if _PROGRAM.match(program) is None:
        raise ConfigError("A credential program has a name that none has.", hint="check credsStore and credHelpers")
    name = f"docker-credential-{program}"
    path = shutil.which(name, path=environ.get("PATH"))
    if path is None:
        raise ConfigError(
            f"{name} is not installed, and Docker's config.json names it.",
            hint="install it, or take it out of credsStore and credHelpers and sign in anew",
        )
    code, said, told = _run([path, "get"], HUB_KEY if host == HUB else host, environ, name=name, limit_s=limit_s)
    text = said.decode(errors="replace")
    if code != 0:
        if _NOT_FOUND in text.lower():
            return None
        why = quote(text) or quote(told.decode(errors="replace"))
        raise ConfigError(f"{name} fails{f': {why}' if why else '.'}", hint=f"see what '{name} list' says")
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} answers with what is no account.", hint=f"see what '{name} list' says") from error
    if not answer.secret:
        return None
    if answer.username == _IDENTITY:
        return Credential("", Secret(""), name, Secret(answer.secret))
    _check_name(answer.username, name)
    return Credential(answer.username, Secret(answer.secret), name)


def _run(
    command: list[str], sent: str, environ: Mapping[str, str], *, name: str, limit_s: float
) -> tuple[int, bytes, bytes]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{name} does not start: {error.strerror}.", hint="install it anew") from error
    with process:
        try:
            said, told = process.communicate(sent.encode(), timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(
                f"{name} does not answer within {limit_s:g} s.", hint=f"see whether '{name} list' waits for somebody"
            ) from error
        finally:
            if process.poll() is None:
                # Its own children hold the pipes open, too.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()
    return process.returncode, said[:MOST_BYTES], told[:MOST_BYTES]


def _check_name(username: str, source: str) -> None:
    """A colon would end the name where it goes over the line, and control characters have no place there."""
    if ":" in username or not username.isprintable():
        raise ConfigError(f"The name of an account in {source} has characters that none has.", hint="sign in anew")


def _plain(key: str) -> str:
    """The host that a file's key means: it may be an address, as Docker Hub's is."""
    host = key.strip().lower().removeprefix("https://").removeprefix("http://").partition("/")[0]
    return HUB_NAME if host in HUB_NAMES else host


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
