"""The app's secrets in the cluster: made up where there are none, and never written over; and its owner's settings."""

import base64
import binascii
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aweigh.errors import UsageError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.secret import Secret
from aweigh.targets.kubernetes.apply import MANAGER, create, merge
from aweigh.targets.kubernetes.client import Client, Object
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.labels import INSTANCE, MANAGED
from aweigh.targets.kubernetes.resources import at, path_of

SECRET_BYTES = 48
MOST_BYTES = 2**20
"""Of all settings of an app: the cluster takes no larger Secret."""


def secrets_name(app: str) -> str:
    """The Secret that is made up."""
    return f"{app}-secrets"


def config_name(app: str) -> str:
    """The Secret of the owner's settings."""
    return f"{app}-config"


@dataclass(frozen=True, slots=True)
class Settled:
    """Names of secrets: ``made`` were put there now, of ``kept`` another value was there already than was given."""

    made: tuple[str, ...]
    kept: tuple[str, ...]


def settle(client: Client, app: str, wanted: Mapping[str, Secret | None] | Sequence[str]) -> Settled:
    """Sees that the app has its secrets. What is None is made up.

    Raises:
        UsageError: one is an address, which nobody can make up, and none is given.
        KubernetesRefused: the API refuses.
    """
    values: Mapping[str, Secret | None] = wanted if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
    there = _there(client, secrets_name(app))
    known = {**(there or {}), **(_there(client, config_name(app)) or {})}
    missing = [name for name in values if name not in known and f"{name}_FILE" not in known]
    unnamed = [name for name in missing if values[name] is None and name.endswith(("_URL", "_URI", "_DSN"))]
    if unnamed:
        raise UsageError(
            f"The release needs {unnamed[0]}, and it is not named in the cluster.",
            hint=f"aweigh config kubernetes --app {app} --secret {unnamed[0]}",
        )
    data = {name: _encoded(values[name] or Secret(random.token_urlsafe(SECRET_BYTES))) for name in missing}
    if there is None and values:
        made = create(client, _secret(secrets_name(app), app, data))
        # Somebody else may have made it in this moment: theirs stays.
        missing = [name for name in missing if at(made, "data", name) == data[name]]
        data = {name: data[name] for name in data if name not in (at(made, "data") or {})}
    if data:
        merge(client, _path(client, secrets_name(app)), {"data": data}, what=f"to complete the Secret of {app}")
    kept = [name for name, value in values.items() if value is not None and known.get(name, "") != _encoded(value)]
    return Settled(tuple(missing), tuple(name for name in kept if name in known))


def deploy_secret(client: Client, app: str) -> Secret | None:
    """What the deployment's keys are made of; None: the app has none."""
    for name in (config_name(app), secrets_name(app)):
        found = client.find(_path(client, name), what="to read the deployment's secret")
        text = at(found, "data", VARIABLE)
        if text:
            return Secret(_decoded(str(text)))
    return None


def config_names(client: Client, app: str) -> list[str]:
    """The names of the app's settings, those that were made up included; the values stay there."""
    found = {**(_there(client, secrets_name(app)) or {}), **(_there(client, config_name(app)) or {})}
    return sorted(found)


def change_config(client: Client, app: str, changes: Mapping[str, Secret | None]) -> Mapping[str, str | None]:
    """Changes the owner's settings; given back is what puts them back as they were.

    Raises:
        KubernetesRefused: the API refuses.
    """
    name = config_name(app)
    there = _there(client, name)
    if there is None:
        create(client, _secret(name, app, {}))
    data = {key: None if value is None else _encoded(value) for key, value in changes.items()}
    restore_config(client, app, data)
    return {key: (there or {}).get(key) for key in changes}


def restore_config(client: Client, app: str, data: Mapping[str, str | None]) -> None:
    """Settings as they are to be, in the cluster's own writing (base64)."""
    merge(client, _path(client, config_name(app)), {"data": dict(data)}, what=f"to change the settings of {app}")


def _there(client: Client, name: str) -> dict[str, str] | None:
    found = client.find(_path(client, name), what=f"to read the Secret {name}")
    return None if found is None else dict(found.get("data") or {})


def _path(client: Client, name: str) -> str:
    return path_of(client, "v1", "Secret", name)


def _secret(name: str, app: str, data: Mapping[str, str]) -> Object:
    labels = {"app.kubernetes.io/name": app, INSTANCE: app, MANAGED: MANAGER}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": dict(data)}


def _encoded(value: Secret) -> str:
    return base64.b64encode(value.reveal().encode()).decode()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise KubernetesRefused(
            f"The cluster's {VARIABLE} is no text.", status=200, hint="set another with aweigh config kubernetes"
        ) from None
