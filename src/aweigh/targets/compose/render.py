"""A plan as compose reads it: ``compose.yaml``, and a ``Caddyfile`` where a proxy stands before the web replicas.

Nothing is asked of anybody. Secrets are in none of the documents: containers get them from ``app.env`` and from files
below ``secrets``, which lie beside the documents. No variable is put in by compose: every ``$`` is doubled.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aweigh.targets.compose.caddy import CADDYFILE, LIVE, SIDE_DOOR, caddyfile
from aweigh.targets.compose.plan import MIGRATE, POSTGRES, PROXY, SERVICES, VALKEY, WEB, Plan, Slot
from aweigh.targets.image.build import HEALTH
from aweigh.targets.image.build import PORT as INSIDE
from aweigh.targets.image.packages import VENV
from aweigh.targets.yaml import Said, literal, to_yaml

COMPOSE = "compose.yaml"
ENVIRONMENT = "app.env"
"""Secrets as variables, made up or set by the owner: for the app's containers alone."""
PASSWORD, VALKEY_CONF = "secrets/database_password", "secrets/valkey.conf"
"""What PostgreSQL and Valkey read."""
ADDRESSES: Mapping[str, str] = {"postgresql": "secrets/database.env", "redis": "secrets/valkey.env"}
"""How the app finds them, password and all: a release that has no such store is told of none."""
DATABASE, USER = "aweigh", "aweigh"
CLUSTER = "/var/lib/postgresql/cluster"
"""Said by name, since each major version of the image has another place by itself."""
STORES = "stores"
"""The network of what holds data."""
HEALTH_PORT = 8001
"""Of a worker, in its own container."""
STOP_S = 30
LABEL = "io.aweigh"
MOST_PIDS = 512

_HEAD = """\
Written by aweigh for the app {app}: the next deployment writes it anew. What you want otherwise goes into
compose.override.yaml beside it, which is read as well. Secrets are in app.env and secrets, and in no document."""
_TAGGED = """\
'docker compose pull' and another deployment bring its maker's fixes; --{option} names another. What one
major version has written, another may not read."""
_LOGS = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
"""Without an end a container's log fills the disk, the database's with it."""
_PING = "{ sed -n 's/^requirepass /AUTH /p' /run/secrets/valkey.conf; echo PING; } | valkey-cli | grep -q PONG"
"""With the password: to who shows none it says the same while it still reads its data, and exits with 0."""
CACHE_MB = 192


def render(plan: Plan, *, slot: Slot = "a", mark: str = "") -> dict[str, bytes]:
    """The documents of a plan, by their names, with its web containers in a slot.

    ``mark`` is a word that changes with the secrets, which are in no document: who is told them starts anew then.
    """
    services: dict[str, Any] = {}
    for name, words in plan.processes.items():
        if name == WEB:
            services[SERVICES[slot]] = _web(plan, slot, mark)
        else:
            services[name] = _process(plan, name, words, mark)
    if "postgresql" in plan.stores:
        services[POSTGRES] = _postgres(plan)
    if "redis" in plan.stores:
        services[VALKEY] = _valkey(plan)
    if plan.has_proxy:
        services[PROXY] = _proxy(plan)
    document: dict[str, Any] = {"name": plan.project, "services": services, "volumes": _volumes(plan)}
    if plan.stores:
        inside = Said({"internal": True}, "The stores', and the app's that asks them: it leads nowhere else.")
        document["networks"] = {STORES: inside, "default": {}}
    secrets = _secrets(plan)
    if secrets:
        document["secrets"] = secrets
    text = to_yaml(literal(document), head=_HEAD.format(app=plan.app))  # type: ignore[arg-type]  # still a mapping
    found = {COMPOSE: text.encode()}
    if plan.has_proxy:
        found[CADDYFILE] = caddyfile(plan).encode()
    return found


def environment_files(plan: Plan) -> list[str]:
    """Where an app's containers have their secrets from; the last one counts."""
    return [*(ADDRESSES[one] for one in plan.stores), ENVIRONMENT]


# -- the app ---------------------------------------------------------------------------------------------------------


def _web(plan: Plan, slot: Slot, mark: str) -> dict[str, Any]:
    found = _process(plan, WEB, (), mark)
    found["labels"] |= {f"{LABEL}.slot": slot, f"{LABEL}.told": web_told(plan, mark)}
    return found


def web_told(plan: Plan, mark: str) -> str:
    """A word that is another as soon as the web containers of a plan are others, in whatever but their number."""
    found = _process(plan, WEB, (), mark)
    del found["deploy"]
    return _digest(found)


def proxy_told(plan: Plan) -> str:
    """The same of the proxy, its file included."""
    return _digest([_proxy_alone(plan), caddyfile(plan)])


def _digest(value: Any) -> str:
    plain = json.dumps(value, sort_keys=True, default=lambda one: one.value)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _process(plan: Plan, name: str, words: tuple[str, ...], mark: str) -> dict[str, Any]:
    once = name == MIGRATE
    health, more, variables = _health(plan, name, words)
    found: dict[str, Any] = {"image": plan.image}
    if not plan.pulled:
        found["pull_policy"] = Said("never", "Built on this machine; its name holds its digest.")
    if words:
        found["command"] = [*words, *more]
    found["env_file"] = [f"./{one}" for one in environment_files(plan)]
    found["environment"] = plan.config | variables
    found |= _limits(memory=plan.memory, cpus=plan.cpus)
    found["volumes"] = ["state:/state"]
    found["healthcheck"] = health
    if plan.stores:
        found["networks"] = ["default", STORES]
    if name == WEB and not plan.has_proxy:
        found["ports"] = [_port(plan)]
    found["depends_on"] = _before(plan, name)
    found["restart"] = "no" if once else "unless-stopped"
    if not once:
        found["stop_grace_period"] = f"{STOP_S}s"
        found["deploy"] = {"replicas": plan.replicas.get(name, 1)}
    found["labels"] = _labels(plan, name) | ({f"{LABEL}.secrets": mark} if mark else {})
    return {key: one for key, one in found.items() if one not in ({}, [])}


def _health(plan: Plan, name: str, words: tuple[str, ...]) -> tuple[dict[str, Any], list[str], dict[str, str]]:
    """How a process is asked for its health, what its command needs for that, and which variables."""
    ours = {
        "test": ["CMD", f"/{VENV}/bin/python", "-I", "-S", "-c", HEALTH],
        "interval": "5s",
        "timeout": "5s",
        "start_period": "90s",
        "retries": 6,
    }
    if name == WEB:
        return (ours if plan.is_ours else {"disable": True}), [], {"PORT": str(INSIDE)}
    if words[:2] == ("aweigh", "worker") and "--health-port" not in words:
        more = ["--health-port", str(HEALTH_PORT), "--health-host", "127.0.0.1"]
        return ours, more, {"PORT": str(HEALTH_PORT)}
    return {"disable": True}, [], {}


def _before(plan: Plan, name: str) -> dict[str, Any]:
    """What has to be there before a process starts."""
    stores = {"postgresql": POSTGRES, "redis": VALKEY}
    found: dict[str, Any] = {stores[one]: {"condition": "service_healthy"} for one in plan.stores}
    if name != MIGRATE and MIGRATE in plan.processes:
        found[MIGRATE] = {"condition": "service_completed_successfully"}
    return found


def _limits(*, memory: str, cpus: str, tmpfs: tuple[str, ...] = ("/tmp",)) -> dict[str, Any]:  # noqa: S108  a container's
    """What every container is held to."""
    return {
        "read_only": True,
        "tmpfs": list(tmpfs),
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": memory,
        "cpus": float(cpus),
        "pids_limit": MOST_PIDS,
        "logging": _LOGS,
    }


def _port(plan: Plan) -> Any:
    if plan.public:
        return Said(f"{plan.port}:{INSIDE}", "Open to other machines, unencrypted: something with TLS goes in front.")
    return Said(f"127.0.0.1:{plan.port}:{INSIDE}", "For this machine alone; --public opens it.")


def _labels(plan: Plan, name: str) -> dict[str, str]:
    """Of a process what it runs; what lies beside it is the same in the next release, and is not started anew."""
    whose = {f"{LABEL}.app": plan.app, f"{LABEL}.process": name}
    if name not in plan.processes:
        return whose
    return whose | {f"{LABEL}.image": plan.digest, f"{LABEL}.bundle": plan.bundle or ""}


# -- what is beside it -----------------------------------------------------------------------------------------------


def _postgres(plan: Plan) -> dict[str, Any]:
    return {
        "image": Said(plan.images[POSTGRES], _TAGGED.format(option="postgres-image")),
        "environment": {
            "POSTGRES_USER": USER,
            "POSTGRES_DB": DATABASE,
            "POSTGRES_PASSWORD_FILE": "/run/secrets/database_password",
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --auth-host=scram-sha-256",
            "PGDATA": CLUSTER,
        },
        **_limits(memory="512M", cpus="1", tmpfs=("/tmp", "/run/postgresql")),  # noqa: S108
        "cap_add": Said(_CAPS, "Its start gives the volume to its own user, and becomes that user."),
        "shm_size": "128M",
        "secrets": ["database_password"],
        "volumes": ["database:/var/lib/postgresql"],
        "networks": [STORES],
        "healthcheck": {
            "test": ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", USER, "-d", DATABASE],
            "interval": "3s",
            "timeout": "5s",
            "start_period": "60s",
            "retries": 10,
        },
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S}s",
        "labels": _labels(plan, POSTGRES),
    }


_CAPS = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]


def _valkey(plan: Plan) -> dict[str, Any]:
    return {
        "image": Said(plan.images[VALKEY], _TAGGED.format(option="valkey-image")),
        # Jobs must not be thrown away to make room; answers may.
        "command": [
            "valkey-server",
            "/run/secrets/valkey.conf",
            "--dir",
            "/data",
            "--appendonly",
            "yes",
            "--maxmemory",
            f"{CACHE_MB}mb",
            "--maxmemory-policy",
            "allkeys-lru" if "postgresql" in plan.stores else "noeviction",
        ],
        **_limits(memory="256M", cpus="1"),
        "cap_add": Said([one for one in _CAPS if one != "FOWNER"], "As with the database."),
        "secrets": ["valkey.conf"],
        "volumes": ["cache:/data"],
        "networks": [STORES],
        "healthcheck": {
            "test": ["CMD-SHELL", _PING],
            "interval": "3s",
            "timeout": "5s",
            "start_period": "30s",
            "retries": 10,
        },
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S}s",
        "labels": _labels(plan, VALKEY),
    }


def _proxy(plan: Plan) -> dict[str, Any]:
    found = _proxy_alone(plan)
    found["labels"] |= {f"{LABEL}.told": proxy_told(plan)}
    return found


def _proxy_alone(plan: Plan) -> dict[str, Any]:
    """Nothing in it changes with a release: it runs on while what it asks is replaced."""
    return {
        "image": Said(plan.images[PROXY], "Shares requests out; whoever has a page open stays with one replica."),
        "command": ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
        "environment": {"XDG_DATA_HOME": "/tmp", "XDG_CONFIG_HOME": "/tmp"},  # noqa: S108  the container's own
        **_limits(memory="128M", cpus="1"),
        "cap_add": Said(["NET_BIND_SERVICE"], "Its program is marked so, and does not start without."),
        "volumes": [f"./{CADDYFILE}:/etc/caddy/Caddyfile:ro,z", f"./{LIVE}:/{LIVE}:ro,z"],
        "ports": [_port(plan), Said(f"127.0.0.1::{SIDE_DOOR}", "By which a release is looked at before it is asked.")],
        "restart": "unless-stopped",
        "stop_grace_period": f"{STOP_S}s",
        "labels": _labels(plan, PROXY),
    }


def _volumes(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {"state": {}}
    if "postgresql" in plan.stores:
        found["database"] = Said({}, "People, keys, the audit log and jobs: gone for good when the app is destroyed.")
    if "redis" in plan.stores:
        found["cache"] = {}
    return found


def _secrets(plan: Plan) -> dict[str, Any]:
    found = {}
    if "postgresql" in plan.stores:
        found["database_password"] = {"file": f"./{PASSWORD}"}
    if "redis" in plan.stores:
        found["valkey.conf"] = {"file": f"./{VALKEY_CONF}"}
    return found
