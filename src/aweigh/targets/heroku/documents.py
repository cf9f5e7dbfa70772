"""What the Platform API answers, as much of it as is looked at; fields that Heroku adds are let be."""

from typing import Any, Literal, TypeVar

import msgspec

from aweigh.errors import RemoteError

T = TypeVar("T")


class Named(msgspec.Struct, frozen=True):
    """Something by its id and name."""

    id: str = ""
    name: str = ""


def _is_fir(generation: Named | str | None) -> bool:
    return (generation.name if isinstance(generation, Named) else generation) == "fir"


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An app."""

    id: str
    name: str
    web_url: str | None = None
    stack: Named | None = None
    region: Named | None = None
    team: Named | None = None
    generation: Named | str | None = None
    maintenance: bool = False

    @property
    def is_fir(self) -> bool:
        """Whether it is of the generation that builds images, not slugs."""
        return _is_fir(self.generation)


class SourceBlob(msgspec.Struct, frozen=True):
    """Where a build's source is, what it weighs in at, and which version of ours it is."""

    url: str | None = None
    checksum: str | None = None
    version: str | None = None
    version_description: str | None = None
    put_url: str | None = None
    get_url: str | None = None


class Source(msgspec.Struct, frozen=True):
    """A place for a source."""

    source_blob: SourceBlob


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A build."""

    id: str
    status: Literal["pending", "succeeded", "failed"]
    source_blob: SourceBlob = SourceBlob()
    output_stream_url: str | None = None
    release: Named | None = None
    slug: Named | None = None
    created_at: str = ""


class HerokuRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release, as Heroku counts them."""

    id: str
    version: int
    status: str = "succeeded"
    current: bool = False
    description: str = ""
    created_at: str = ""
    slug: Named | None = None
    artifacts: tuple[Named, ...] | None = None
    output_stream_url: str | None = None
    eligible_for_rollback: bool | None = None
    user: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """As people name it: ``v12``."""
        return f"v{self.version}"

    @property
    def code(self) -> str:
        """The id of the slug, or of the image, that it runs; empty where it runs nothing."""
        if self.slug is not None:
            return self.slug.id
        return self.artifacts[0].id if self.artifacts else ""


class ReleaseOfDyno(msgspec.Struct, frozen=True):
    """Which release a dyno runs."""

    id: str = ""
    version: int = 0


class DynoDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A dyno that there is."""

    id: str = ""
    name: str
    type: str = ""
    state: str = ""
    size: str | None = None
    release: ReleaseOfDyno = ReleaseOfDyno()


class Formation(msgspec.Struct, frozen=True, kw_only=True):
    """How many dynos of a process type there are to be, and of which size."""

    type: str
    quantity: int = 0
    size: str | None = None
    command: str = ""
    dyno_size: Named | None = None

    @property
    def size_name(self) -> str:
        """The size as ``dynos.DYNOS`` names it; empty where nobody says."""
        named = self.dyno_size.name if self.dyno_size is not None and self.dyno_size.name else self.size
        return (named or "").lower()


class AddOn(msgspec.Struct, frozen=True, kw_only=True):
    """An add-on."""

    id: str
    name: str = ""
    state: str = "provisioned"
    plan: Named = Named()
    config_vars: tuple[str, ...] | None = ()
    provision_message: str | None = None


class Feature(msgspec.Struct, frozen=True):
    """Something that can be switched on for an app."""

    name: str = ""
    enabled: bool = False


class LogSession(msgspec.Struct, frozen=True):
    """Where the log can be read for a while."""

    logplex_url: str


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline."""

    id: str
    name: str
    generation: Named | str | None = None

    @property
    def is_fir(self) -> bool:
        """Whether its apps are of the generation that builds images."""
        return _is_fir(self.generation)


class Coupling(msgspec.Struct, frozen=True, kw_only=True):
    """An app's place in a pipeline."""

    id: str = ""
    pipeline: Named
    app: Named
    stage: str = ""


class Promotion(msgspec.Struct, frozen=True):
    """A promotion along a pipeline."""

    id: str
    status: str = "pending"


class PromotionTarget(msgspec.Struct, frozen=True):
    """How a promotion goes in one app."""

    app: Named
    status: str = "pending"
    error_message: str | None = None


class ReviewConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline makes review apps."""

    automatic_review_apps: bool = False
    destroy_stale_apps: bool = False
    stale_days: int | None = None


class ReviewApp(msgspec.Struct, frozen=True, kw_only=True):
    """A review app: ``app`` is there when it was begun, ``app_setup`` says how its making goes."""

    id: str
    branch: str = ""
    status: str = "pending"
    app: Named | None = None
    app_setup: Named | None = None
    message: str | None = None
    error_status: str | None = None
    created_at: str = ""


class SetupBuild(msgspec.Struct, frozen=True):
    """The build of an app that is made from its app.json."""

    id: str | None = None
    status: str | None = None
    output_stream_url: str | None = None


class AppSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The making of an app from its app.json."""

    id: str
    status: Literal["pending", "succeeded", "failed"] = "pending"
    failure_message: str | None = None
    manifest_errors: tuple[str, ...] | None = ()
    build: SetupBuild | None = None


def read_document(document: object, kind: type[T], *, what: str) -> T:
    """An answer as the document that it is to be.

    Raises:
        RemoteError: it is another.
    """
    try:
        return msgspec.convert(document, type=kind)
    except msgspec.ValidationError as error:
        raise RemoteError(
            f"Heroku answers {what} with a document that is not understood: {error}.",
            hint="check that AWEIGH_HEROKU_ENDPOINT names the Platform API",
        ) from error
