"""A kubeconfig's file as it is written: YAML, of which what is unknown is passed over, as kubectl does."""

from pathlib import Path
from typing import Any

import msgspec

from aweigh.errors import ConfigError
from aweigh.registry import require

VARIABLE = "KUBECONFIG"
MOST_BYTES = 4 * 2**20
VIEW = "see 'kubectl config view' and 'kubectl config get-contexts'"


class _Document(msgspec.Struct, frozen=True, rename="kebab"):
    """A part of a kubeconfig. What is unknown in it is passed over, as kubectl does."""


class ClusterEntry(_Document, frozen=True):
    """A cluster."""

    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = False
    tls_server_name: str | None = None
    proxy_url: str | None = None


class _Variable(msgspec.Struct, frozen=True):
    name: str
    value: str | None = ""


class ExecPlugin(msgspec.Struct, frozen=True, rename="camel"):
    """A program that gives credentials, as a kubeconfig names it."""

    command: str
    api_version: str | None = None
    args: tuple[str, ...] | None = ()
    env: tuple[_Variable, ...] | None = ()
    install_hint: str | None = None
    provide_cluster_info: bool | None = False
    interactive_mode: str | None = None


class UserEntry(_Document, frozen=True):
    """A user."""

    token: str | None = None
    tokenFile: str | None = None  # noqa: N815  the file's name
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    exec: ExecPlugin | None = None
    auth_provider: Any = None
    as_: str | None = msgspec.field(name="as", default=None)
    as_groups: tuple[str, ...] | None = None


class ContextEntry(_Document, frozen=True):
    """A cluster, a user and a namespace."""

    cluster: str = ""
    user: str | None = ""
    namespace: str | None = None


class Named(msgspec.Struct, frozen=True):
    """One of them, by its name."""

    name: str
    cluster: ClusterEntry | None = None
    user: UserEntry | None = None
    context: ContextEntry | None = None


class File(_Document, frozen=True):
    """A whole file."""

    current_context: str | None = ""
    clusters: tuple[Named, ...] | None = ()
    users: tuple[Named, ...] | None = ()
    contexts: tuple[Named, ...] | None = ()


def read_file(path: Path) -> File:
    """The document of a file.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    yaml = require("yaml", what="reading a kubeconfig", extra="deploy")

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]  # an optional module
        """Every plain scalar is text, but for null: what a name or a value means, the documents above say."""

    null = "tag:yaml.org,2002:null"
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag == null]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            raise ConfigError("The kubeconfig is larger than 4 MB.", hint=f"name another in {VARIABLE}")
        found = yaml.load(content, Loader)
        return msgspec.convert(found if found is not None else {}, File, strict=False)
    except OSError as error:
        raise ConfigError(f"The kubeconfig cannot be read: {error.strerror}.", hint="check its owner") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        # Without the error, which quotes lines: they may hold a token.
        raise ConfigError(f"The kubeconfig {path.name!a} is no YAML{where}.", hint=f"get it anew; {VIEW}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"The kubeconfig {path.name!a} is none: {error}.", hint=f"get it anew; {VIEW}") from error
