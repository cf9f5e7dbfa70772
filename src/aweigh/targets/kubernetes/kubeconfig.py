"""Where the cluster is and who asks: from kubeconfig files, or from the service account of the pod that this runs in.

Files are merged as kubectl does: of two entries of one name the first file's is taken, missing files are passed over.
Nothing is asked of anybody here, and no plugin is run.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aweigh.errors import ConfigError
from aweigh.secret import Secret
from aweigh.targets.kubernetes.kubefile import (
    VARIABLE,
    ClusterEntry,
    ExecPlugin,
    File,
    Named,
    UserEntry,
    read_file,
)
from aweigh.targets.live import is_loopback

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. ``token_file`` is read anew each time: it is renewed by others."""

    name: str
    token: Secret | None = None
    token_file: Path | None = None
    certificate: str | None = None
    key: Secret | None = None
    plugin: ExecPlugin | None = None
    folder: Path = field(default_factory=Path)
    """Where the kubeconfig lies: a plugin's relative path begins there."""
    impersonated: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster, who asks it, and in which namespace."""

    server: str
    user: User
    namespace: str = "default"
    context: str = ""
    authority: str | None = None
    """Certificates in PEM; None: those that this machine trusts."""
    server_name: str | None = None
    proxy: str | None = None
    insecure: bool = False


def find_connection(
    environ: Mapping[str, str],
    *,
    context: str | None = None,
    namespace: str | None = None,
    account: Path = ACCOUNT,
) -> Connection:
    """The cluster that the kubeconfig names, or the one that this runs in where there is no kubeconfig.

    Raises:
        ConfigError: there is none, or it says something that cannot be.
        MissingExtra: a package that reads it is not installed.
    """
    said = environ.get(VARIABLE, "").strip()
    own = Path(environ.get("HOME") or Path.home()) / ".kube" / "config"
    paths = [Path(one) for one in said.split(":") if one] if said else [own]
    there = [path for path in paths if path.is_file()]
    if not there:
        if not said and (account / "token").is_file() and environ.get("KUBERNETES_SERVICE_HOST"):
            return _in_cluster(environ, account, namespace)
        named = "the file that KUBECONFIG names" if len(paths) == 1 and said else "~/.kube/config"
        named = "any of the files that KUBECONFIG names" if len(paths) > 1 else named
        raise ConfigError(
            f"There is no cluster: {named} does not exist.",
            hint="get a kubeconfig from the cluster's provider, and put its path into KUBECONFIG",
        )
    return _merged([(path, read_file(path)) for path in there], context=context, namespace=namespace)


def _in_cluster(environ: Mapping[str, str], account: Path, namespace: str | None) -> Connection:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    own = account / "namespace"
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        user=User("the pod's service account", token_file=account / "token"),
        namespace=namespace or (own.read_text().strip() if own.is_file() else "") or "default",
        context="in-cluster",
        authority=_text(account / "ca.crt", "the service account's ca.crt"),
    )


def _merged(files: Sequence[tuple[Path, File]], *, context: str | None, namespace: str | None) -> Connection:
    contexts = _first([(path, one) for path, found in files for one in found.contexts or ()])
    clusters = _first([(path, one) for path, found in files for one in found.clusters or ()])
    users = _first([(path, one) for path, found in files for one in found.users or ()])
    name = context or next((found.current_context for _, found in files if found.current_context), None)
    if not name:
        raise ConfigError(
            "The kubeconfig has no current context.",
            hint=f"name one with --context: {_some(contexts)}",
        )
    wanted = contexts[name][1].context if name in contexts else None
    if wanted is None:
        raise ConfigError(f"The kubeconfig has no context {name[:60]!r}.", hint=f"it has {_some(contexts)}")
    if wanted.cluster not in clusters or clusters[wanted.cluster][1].cluster is None:
        raise ConfigError(
            f"The context {name[:60]!r} names a cluster that the kubeconfig does not have: {wanted.cluster[:60]!r}.",
            hint=f"it has {_some(clusters)}",
        )
    user = User("anonymous")
    if wanted.user:
        if wanted.user not in users:
            raise ConfigError(
                f"The context {name[:60]!r} names a user that the kubeconfig does not have: {wanted.user[:60]!r}.",
                hint=f"it has {_some(users)}",
            )
        path, found = users[wanted.user]
        user = _user(found.name, found.user or UserEntry(), path.parent)
    path, entry = clusters[wanted.cluster]
    chosen = namespace or wanted.namespace or "default"
    return _connection(entry.cluster or ClusterEntry(), user, path.parent, namespace=chosen, context=name)


def _first(entries: Sequence[tuple[Path, Named]]) -> dict[str, tuple[Path, Named]]:
    found: dict[str, tuple[Path, Named]] = {}
    for path, one in entries:
        found.setdefault(one.name, (path, one))
    return found


def _some(known: Mapping[str, object]) -> str:
    names = sorted(known)
    return (", ".join(names[:6]) + (" ..." if len(names) > 6 else "")) or "none"


def _connection(cluster: ClusterEntry, user: User, folder: Path, *, namespace: str, context: str) -> Connection:
    server = cluster.server.rstrip("/")
    try:
        parts = urlsplit(server)
        is_good = bool(parts.hostname) and parts.scheme in {"https", "http"} and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError("The kubeconfig's cluster has no address.", hint="its server is written https://HOST:PORT")
    if not is_loopback(server) and (parts.scheme == "http" or cluster.insecure_skip_tls_verify):
        why = "is not encrypted" if parts.scheme == "http" else "is not verified (insecure-skip-tls-verify)"
        raise ConfigError(
            f"The kubeconfig's connection to {parts.hostname} {why}: credentials and bundles would be anybody's.",
            hint="put its authority into certificate-authority-data; only a cluster on this machine goes without",
        )
    proxy = cluster.proxy_url or None
    if proxy is not None and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigError(
            "The kubeconfig's proxy-url is of a kind that is not spoken here.",
            hint="name one that begins with http:// or https://",
        )
    return Connection(
        server=server,
        user=user,
        namespace=namespace,
        context=context,
        authority=_pem(cluster.certificate_authority_data, cluster.certificate_authority, folder,
                       "certificate-authority"),
        server_name=cluster.tls_server_name or None,
        proxy=proxy,
        insecure=bool(cluster.insecure_skip_tls_verify),
    )  # fmt: skip


def _user(name: str, user: UserEntry, folder: Path) -> User:
    if user.username or user.password:
        raise ConfigError(
            f"The kubeconfig's user {name[:60]!r} has a name and a password, which clusters no longer take.",
            hint="get a kubeconfig with a token, a client certificate or a plugin",
        )
    if user.auth_provider is not None:
        raise ConfigError(
            f"The kubeconfig's user {name[:60]!r} has an auth-provider, which Kubernetes has removed.",
            hint="get a kubeconfig with an exec plugin: gke-gcloud-auth-plugin, kubelogin, kubectl oidc-login",
        )
    if user.exec is not None:
        _check_plugin(user.exec, name)
    certificate = _pem(user.client_certificate_data, user.client_certificate, folder, "client-certificate")
    key = _pem(user.client_key_data, user.client_key, folder, "client-key")
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        raise ConfigError(f"The kubeconfig's user {name[:60]!r} has no {missing}.", hint="get the kubeconfig anew")
    # As kubectl: a file of tokens goes before a token that stands beside it.
    is_file = bool(user.tokenFile)
    impersonated = [("Impersonate-User", user.as_)] if user.as_ else []
    return User(
        name=name,
        token=Secret(user.token) if user.token and not is_file else None,
        token_file=folder / user.tokenFile if user.tokenFile else None,
        certificate=certificate,
        key=None if key is None else Secret(key),
        plugin=user.exec,
        folder=folder,
        impersonated=(*impersonated, *(("Impersonate-Group", one) for one in user.as_groups or ())),
    )


def _check_plugin(plugin: ExecPlugin, name: str) -> None:
    if plugin.api_version not in EXEC_VERSIONS:
        raise ConfigError(
            f"The plugin {plugin.command[:60]!r} of the user {name[:60]!r} speaks {str(plugin.api_version)[:60]!r}, "
            "which is not spoken here.",
            hint="bring the plugin up to date and write the kubeconfig anew with it: v1 or v1beta1",
        )
    if plugin.interactive_mode == "Always":
        raise ConfigError(
            f"The plugin {plugin.command[:60]!r} of the user {name[:60]!r} wants to ask at the terminal.",
            hint="log in with it first, and set its interactiveMode to IfAvailable",
        )


def _pem(data: str | None, named: str | None, folder: Path, what: str) -> str | None:
    if data:
        try:
            return _ascii(base64.b64decode("".join(data.split()), validate=True))
        except (binascii.Error, ValueError):
            raise ConfigError(f"The kubeconfig's {what}-data is not base64.", hint="get it anew") from None
    return _text(folder / named, f"the kubeconfig's {what}") if named else None


def _text(path: Path, what: str) -> str:
    try:
        return _ascii(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"The file of {what} cannot be read: {error.strerror}.", hint="get the kubeconfig anew"
        ) from error


def _ascii(content: bytes) -> str:
    """A text of PEM; what stands beside it, as the names of authorities in a bundle of them, may be of any language."""
    return content.decode("ascii", errors="ignore")
