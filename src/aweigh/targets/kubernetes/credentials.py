"""What is shown to the API: a token, a client certificate, or what a plugin gives; kept in memory while it is good."""

import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aweigh.errors import ConfigError, RemoteError
from aweigh.secret import Secret
from aweigh.targets.kubernetes.errors import quote
from aweigh.targets.kubernetes.kubeconfig import Connection, User
from aweigh.targets.kubernetes.kubefile import ExecPlugin

PLUGIN_S = 60.0
EARLY_S = 30.0
"""So long before its end a plugin is asked anew."""
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to the API; ``ends`` is when it is no longer good, in seconds since the epoch."""

    token: Secret | None = None
    certificate: str | None = None
    key: Secret | None = None
    ends: float | None = None


class _Given(msgspec.Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Given | None = None


@dataclass(slots=True)
class Wallet:
    """The credentials of a connection, asked for when they are needed."""

    connection: Connection
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    _held: Credentials | None = None

    def credentials(self) -> Credentials:
        """What is shown now.

        Raises:
            ConfigError: a file or a plugin gives nothing that is good.
        """
        user = self.connection.user
        if user.plugin is not None:
            if self._held is None or (self._held.ends is not None and self._held.ends - EARLY_S <= self.clock()):
                self._held = run_plugin(user.plugin, self.connection, environ=self.environ)
            return self._held
        return Credentials(_token(user), user.certificate, user.key)

    def forget(self) -> bool:
        """Lets go of what a plugin gave, which the API did not accept; False: there is none to ask anew."""
        had = self._held is not None
        self._held = None
        return had

    def expired(self) -> str:
        """When the client certificate ended, as a date; empty where it did not, or there is none."""
        certificate = (self._held or self.connection.user).certificate
        ends = None if certificate is None else not_after(certificate)
        return "" if ends is None or ends.timestamp() > self.clock() else ends.strftime("%Y-%m-%d %H:%M UTC")


def _token(user: User) -> Secret | None:
    if user.token_file is None:
        return user.token
    try:
        found = user.token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(
            f"The token's file of {user.name} cannot be read: {why}.", hint="log in anew, or get the kubeconfig anew"
        ) from error
    if not found:
        raise ConfigError(f"The token's file of {user.name} is empty.", hint="log in anew")
    return Secret(found)


def run_plugin(plugin: ExecPlugin, connection: Connection, *, environ: Mapping[str, str]) -> Credentials:
    """What a plugin gives; it is never asked at the terminal.

    Raises:
        ConfigError: it is not installed, fails, or gives no credentials.
    """
    name = plugin.command
    program = _program(plugin, connection.user.folder, environ)
    own = {one.name: one.value or "" for one in plugin.env or ()}
    asked = {"KUBERNETES_EXEC_INFO": msgspec.json.encode(_info(plugin, connection)).decode()}
    # Not with its arguments: a client's secret may be among them.
    again = f"run it by hand, as the kubeconfig says, to see what it wants: {name[:60]}"
    from aweigh.targets.ssh.bounded import run

    try:
        done = run(
            [program, *(plugin.args or ())],
            stdin=subprocess.DEVNULL,
            timeout_s=PLUGIN_S,
            env={**environ, **own, **asked},
            most_bytes=MOST_BYTES,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"The plugin {name!a} gives no credentials in {PLUGIN_S:.0f} s.", hint=again) from None
    except (OSError, RemoteError) as error:
        raise ConfigError(f"The plugin {name!a} cannot be run.", hint=_hint(plugin)) from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        told = f": {quote(lines[-1])}" if lines else ""
        raise ConfigError(f"The plugin {name!a} gives no credentials{told}.", hint=f"log in anew, or {again}")
    try:
        found = msgspec.json.decode(done.stdout, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Without the error, which may quote what the plugin said.
        raise ConfigError(f"The plugin {name!a} says what are no credentials.", hint=again) from None
    return _checked(found, plugin)


def _checked(found: _ExecCredential, plugin: ExecPlugin) -> Credentials:
    given = found.status
    if found.kind != "ExecCredential" or found.api_version != plugin.api_version:
        raise ConfigError(
            f"The plugin {plugin.command!a} speaks another version ({found.api_version[:60]!a}) than the kubeconfig "
            f"says ({plugin.api_version}).",
            hint="bring it up to date, and write the kubeconfig anew with it",
        )
    is_pair = given is not None and bool(given.client_certificate_data) == bool(given.client_key_data)
    if given is None or not is_pair or not (given.token or given.client_certificate_data):
        raise ConfigError(f"The plugin {plugin.command!a} gives no credentials.", hint="log in anew with it")
    return Credentials(
        token=Secret(given.token) if given.token else None,
        certificate=given.client_certificate_data or None,
        key=Secret(given.client_key_data) if given.client_key_data else None,
        ends=None if given.expiration_timestamp is None else given.expiration_timestamp.timestamp(),
    )


def _program(plugin: ExecPlugin, folder: Path, environ: Mapping[str, str]) -> str:
    name = plugin.command
    path = str(folder / name) if "/" in name else name
    found = shutil.which(path, path=environ.get("PATH", os.defpath))
    if found is None:
        raise ConfigError(
            f"The plugin {name[:60]!a}, which the kubeconfig asks for credentials, is not installed.",
            hint=_hint(plugin),
        )
    return found


def _hint(plugin: ExecPlugin) -> str:
    return quote(plugin.install_hint or "") or f"install {plugin.command[:60]!a}, and let PATH have it"


def _info(plugin: ExecPlugin, connection: Connection) -> dict[str, object]:
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        import base64

        cluster: dict[str, object] = {"server": connection.server}
        if connection.authority is not None:
            cluster["certificate-authority-data"] = base64.b64encode(connection.authority.encode()).decode()
        if connection.server_name is not None:
            cluster["tls-server-name"] = connection.server_name
        spec["cluster"] = cluster
    return {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}


def tls_context(connection: Connection, credentials: Credentials) -> ssl.SSLContext:
    """How the cluster is known, and what certificate is shown to it.

    Raises:
        ConfigError: the authority, the certificate or its key are none.
    """
    try:
        context = ssl.create_default_context(cadata=connection.authority)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError("The cluster's authority is no certificate.", hint="get the kubeconfig anew") from error
    if connection.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.certificate is None or credentials.key is None:
        return context
    # OpenSSL takes them from files alone: for that moment, in a folder that is its owner's.
    with tempfile.TemporaryDirectory(prefix="aweigh-") as folder:
        path = Path(folder) / "pair.pem"
        path.touch(mode=0o600)
        path.write_text(f"{credentials.certificate}\n{credentials.key.reveal()}\n", encoding="ascii")
        try:
            # A key with a passphrase would be asked for at the terminal.
            context.load_cert_chain(path, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ConfigError(
                "The client certificate and its key do not belong together, or are none.",
                hint="get the kubeconfig anew; a key must have no passphrase",
            ) from None
    return context


def not_after(pem: str) -> datetime | None:
    """When a certificate ends; None: that cannot be read. Only its frame is walked (RFC 5280, 4.1)."""
    try:
        start = pem.index("-----BEGIN CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(pem[start : pem.index("-----END CERTIFICATE-----") + 25])
        at, _ = _entered(der, 0)
        at, _ = _entered(der, at)
        if der[at] == 0xA0:
            at = _passed(der, at)
        for _ in ("serial number", "signature", "issuer"):
            at = _passed(der, at)
        at, _ = _entered(der, at)
        at = _passed(der, at)
        tag, (start, end) = der[at], _entered(der, at)
        text = der[start:end].decode("ascii")
        form = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _entered(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at a place begins, and where it ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count]), start + count
    return start, start + length


def _passed(der: bytes, at: int) -> int:
    return _entered(der, at)[1]
