"""What the platform knows, and how the API writes each of it."""

import asyncio
import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.heroku.streams import Log, Stream, now

from aweigh.targets.heroku.dynos import DYNOS, SMALLEST_FIR, is_fir_size
from aweigh.targets.heroku.dynos import Dyno as Size

if TYPE_CHECKING:
    from tests.heroku.dynos import Dyno
    from tests.heroku.images import ImageRun

OWNER = {"id": "01234567-89ab-cdef-0123-456789abcdef", "email": "captain@example.org"}
REGION = {"id": "59accabd-516d-4f0e-83e6-6e3757701145", "name": "us"}
STACKS = ("heroku-22", "heroku-24", "heroku-26", "container")


def new_id() -> str:
    """Return an id."""
    return str(uuid.uuid4())


def fixed_id(name: str) -> str:
    """Return the id of something that every platform has."""
    return str(uuid.UUID(hashlib.md5(name.encode()).hexdigest()))


def named(name: str) -> dict[str, str]:
    """Return the reference to something that every platform has."""
    return {"id": fixed_id(name), "name": name}


def size_label(name: str) -> str:
    """Write a size as the API does: ``standard-1x`` is Standard-1X; those of Fir stay as they are."""
    if is_fir_size(name):
        return name
    return "-".join(
        part.upper() if part[0].isdigit() or part == "ram" else part.capitalize() for part in name.split("-")
    )


def size_of(name: str) -> Size:
    """Return a size; processors and memory of one of Fir stand in its name."""
    if name in DYNOS:
        return DYNOS[name]
    memory = int(float(name.rpartition("-")[2].removesuffix("gb")) * 2**30)
    return Size(name, memory, memory, 1, 25)


@dataclass(slots=True)
class Source:
    """A place to put a tarball; ``key`` is what makes the address unguessable."""

    id: str
    key: str
    path: Path


@dataclass(slots=True)
class Slug:
    """What is run: ``folder`` is copied for each dyno; ``environment`` is the Python beside it."""

    id: str
    folder: Path
    environment: Path | None
    processes: dict[str, str]
    size_bytes: int
    stack: str
    commit: str | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    checksum: str | None = None
    description: str = "Python"
    created_at: str = field(default_factory=now)
    images: "dict[str, ImageRun]" = field(default_factory=dict)
    """By process type, where it was pushed as images."""

    def document(self, base: str, method: str = "get") -> dict[str, Any]:
        """Write it."""
        return {
            "id": self.id,
            "blob": {"method": method, "url": f"{base}/_slugs/{self.id}?key={self.key}"},
            "buildpack_provided_description": self.description,
            "checksum": self.checksum,
            "commit": self.commit,
            "commit_description": None,
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "deleted_at": None,
            "process_types": self.processes,
            "size": self.size_bytes,
            "stack": named(self.stack),
        }


@dataclass(slots=True)
class Release:
    """One state of an app: code and config. ``output`` is of its release process, where it has one."""

    id: str
    version: int
    description: str
    slug: Slug | None
    config: dict[str, str]
    status: str
    output: Stream | None = None
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)

    def document(self, app: "App", base: str) -> dict[str, Any]:
        """Write it."""
        is_image = app.is_fir or (self.slug is not None and bool(self.slug.images))
        return {
            "id": self.id,
            "addon_plan_names": [addon.plan for addon in app.addons],
            "app": {"id": app.id, "name": app.name},
            "artifacts": [] if self.slug is None else [{"id": self.slug.id, "type": "image" if is_image else "slug"}],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "current": app.current is self,
            "description": self.description,
            "eligible_for_rollback": self.slug is not None and self.status == "succeeded",
            "output_stream_url": None if self.output is None else f"{base}/_streams/{self.id}",
            "slug": None if self.slug is None or is_image else {"id": self.slug.id},
            "status": self.status,
            "user": OWNER,
            "version": self.version,
        }


@dataclass(slots=True)
class Build:
    """From a source to a slug."""

    id: str
    source: dict[str, Any]
    stack: str
    buildpacks: list[dict[str, str]]
    output: Stream = field(default_factory=Stream)
    status: str = "pending"
    slug: Slug | None = None
    release: Release | None = None
    task: "asyncio.Task[None] | None" = None
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)

    def document(self, app: "App", base: str) -> dict[str, Any]:
        """Write it."""
        source = {"checksum": None, "version": None, "version_description": None, **self.source}
        return {
            "id": self.id,
            "app": {"id": app.id},
            "buildpacks": self.buildpacks,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "generation": app.generation,
            "output_stream_url": f"{base}/_streams/{self.id}",
            "source_blob": source,
            "release": None if self.release is None else {"id": self.release.id},
            "slug": None if self.slug is None or app.is_fir else {"id": self.slug.id},
            "stack": self.stack,
            "status": self.status,
            "user": OWNER,
        }


@dataclass(slots=True)
class Formation:
    """How many dynos of a process type there are to be, and of which size."""

    type: str
    command: str
    quantity: int
    size: str
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)

    def document(self, app: "App") -> dict[str, Any]:
        """Write it."""
        return {
            "id": self.id,
            "app": {"id": app.id, "name": app.name},
            "command": self.command,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "dyno_size": {"id": fixed_id(self.size), "name": self.size},
            "quantity": self.quantity,
            "size": size_label(self.size),
            "type": self.type,
        }


@dataclass(slots=True)
class Addon:
    """A database; its config variable appears when it is provisioned."""

    id: str
    name: str
    plan: str
    variable: str
    value: str
    state: str = "provisioning"
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)

    @property
    def service(self) -> str:
        """The part of the plan before the colon."""
        return self.plan.partition(":")[0]

    def document(self, app: "App") -> dict[str, Any]:
        """Write it."""
        return {
            "id": self.id,
            "actions": [],
            "addon_service": named(self.service),
            "app": {"id": app.id, "name": app.name},
            "billed_price": {"cents": 500, "contract": False, "unit": "month"},
            "billing_entity": {"id": app.id, "name": app.name, "type": "app"},
            "config_vars": [self.variable] if self.state != "provisioning" else [],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "name": self.name,
            "plan": named(self.plan),
            "provider_id": self.id,
            "provision_message": "",
            "state": self.state,
            "web_url": None,
        }

    def attachment(self, app: "App") -> dict[str, Any]:
        """Write the attachment to the app."""
        of = {"id": app.id, "name": app.name}
        return {
            "id": fixed_id(self.id),
            "addon": {"id": self.id, "name": self.name, "app": of},
            "app": of,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "name": self.variable.removesuffix("_URL"),
            "namespace": None,
            "web_url": None,
            "log_input_url": None,
        }


@dataclass(slots=True)
class App:
    """An app, with all that is its own."""

    id: str
    name: str
    stack: str
    port: int
    space: str | None = None
    config: dict[str, str] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)
    current: Release | None = None
    builds: list[Build] = field(default_factory=list)
    slugs: dict[str, Slug] = field(default_factory=dict)
    formation: dict[str, Formation] = field(default_factory=dict)
    dynos: "list[Dyno]" = field(default_factory=list)
    addons: list[Addon] = field(default_factory=list)
    features: dict[str, bool] = field(default_factory=dict)
    domains: list[dict[str, Any]] = field(default_factory=list)
    drains: list[dict[str, Any]] = field(default_factory=list)
    buildpacks: list[str] = field(default_factory=list)
    log: Log = field(default_factory=Log)
    maintenance: bool = False
    router: asyncio.Server | None = None
    releasing: asyncio.Lock = field(default_factory=asyncio.Lock)
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)
    released_at: str | None = None

    @property
    def is_fir(self) -> bool:
        """Whether it is of the generation Fir: such are those in a space whose name begins so."""
        return (self.space or "").startswith("fir")

    @property
    def generation(self) -> str:
        """Its generation's name."""
        return "fir" if self.is_fir else "cedar"

    def first_size(self, usual: str) -> str:
        """The size of its dynos before anybody says another."""
        return SMALLEST_FIR if self.is_fir else usual

    @property
    def web_url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}/"

    def document(self) -> dict[str, Any]:
        """Write it."""
        slug = self.current.slug if self.current is not None else None
        return {
            "id": self.id,
            "acm": False,
            "archived_at": None,
            "buildpack_provided_description": None if slug is None else slug.description,
            "build_stack": named(self.stack),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "generation": named(self.generation),
            "git_url": f"https://git.heroku.com/{self.name}.git",
            "internal_routing": False,
            "maintenance": self.maintenance,
            "name": self.name,
            "organization": None,
            "owner": OWNER,
            "region": REGION,
            "released_at": self.released_at,
            "repo_size": 0,
            "slug_size": None if slug is None or self.is_fir else slug.size_bytes,
            "space": None if self.space is None else {**named(self.space), "shield": False},
            "stack": named(self.stack),
            "team": None,
            "web_url": self.web_url,
        }

    def find_release(self, key: str) -> Release | None:
        """Find a release by id, version or ``v12``."""
        return next((one for one in self.releases if key in (one.id, str(one.version), f"v{one.version}")), None)


def dyno_size(name: str) -> dict[str, Any]:
    """Write a dyno size."""
    size = DYNOS[name]
    dedicated = name.startswith("performance")
    return {
        "id": fixed_id(name),
        "architecture": "amd64",
        "name": size_label(name),
        "compute": size.web_concurrency,
        "cost": {"cents": size.dollars_a_month * 100, "unit": "month"},
        "dedicated": dedicated,
        "generation": named("cedar"),
        "memory": size.quota_bytes / 2**30,
        "precise_dyno_units": float(size.dollars_a_month / 25),
        "private_space_only": False,
    }
