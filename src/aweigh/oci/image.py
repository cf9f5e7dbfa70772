"""An image put together: the config and the manifest of a base's layers with layers of one's own on top.

What is known of the config is what Docker and the OCI's image specification agree on, and Docker's health check beside
it, which the OCI's readers pass over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aweigh.errors import DamagedImage, UnsuitableImage
from aweigh.oci.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Flavour,
    Manifest,
    Platform,
    descriptor_of,
    encode,
    manifest_of,
)
from aweigh.oci.layers import Layer

MAX_LAYERS = 127
"""What Docker's file systems can lay over each other."""
GZIPPED = frozenset({OCI_LAYER_GZIP, DOCKER_LAYER_GZIP})


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a layer came about, or a change to the config alone (``empty_layer``)."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the layers as they unpack, the lowest first."""

    type: str
    diff_ids: tuple[str, ...]


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image's config: what it runs on, how it is run (``config``), and what it is made of."""

    architecture: str
    os: str
    rootfs: RootFs
    config: dict[str, Any] = {}
    created: str = ""
    variant: str = ""
    history: tuple[History, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """How an image is run: the variables are set, the words typed, in that folder, by that user (its number)."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    user: str
    port: int
    health: Sequence[str] = ()
    volumes: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one platform: its documents' bytes, and the blobs that they name."""

    platform: Platform
    manifest: Manifest
    config: bytes
    content: bytes
    """The manifest's own bytes."""
    descriptor: Descriptor
    """Of the manifest."""
    diff_ids: tuple[str, ...]


def read_config(content: bytes) -> Config:
    """A config's bytes as a value.

    Raises:
        DamagedImage: it is none.
    """
    try:
        return msgspec.json.decode(content, type=Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedImage("The image's config cannot be read.") from error


def put_together(
    base: Config,
    base_layers: Sequence[Descriptor],
    layers: Sequence[Layer],
    run: Run,
    *,
    created: str,
    flavour: Flavour = "oci",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """The image of these layers on that base; ``created`` is a time as RFC 3339 writes it.

    Raises:
        UnsuitableImage: layers that not every reader unpacks, or too many of them.
    """
    check_base(base, base_layers, more=len(layers))
    config = Config(
        architecture=base.architecture,
        os=base.os,
        variant=base.variant,
        created=created,
        config=_run_config(base, run),
        rootfs=RootFs("layers", (*base.rootfs.diff_ids, *(one.diff_id for one in layers))),
        history=(*_history_of(base), *(History(created, f"aweigh image: {one.history}") for one in layers)),
    )
    content = encode(config)
    named = descriptor_of(content, OCI_CONFIG if flavour == "oci" else DOCKER_CONFIG)
    kind = OCI_LAYER_GZIP if flavour == "oci" else DOCKER_LAYER_GZIP
    all_layers = [*base_layers, *(one.descriptor for one in layers)]
    manifest = manifest_of(
        named,
        [Descriptor(kind, one.digest, one.size) for one in all_layers],
        flavour=flavour,
        annotations=annotations if flavour == "oci" else None,  # Docker's schema has none
    )
    platform = Platform(base.architecture, base.os, base.variant)
    text = encode(manifest)
    media_type = OCI_MANIFEST if flavour == "oci" else DOCKER_MANIFEST
    return Image(
        platform,
        manifest,
        content,
        text,
        descriptor_of(text, media_type, platform=platform),
        config.rootfs.diff_ids,
    )


def check_base(base: Config, base_layers: Sequence[Descriptor], *, more: int = 0) -> None:
    """Refuses what no image can be built on, which is known before anything of its layers is fetched.

    Raises:
        UnsuitableImage: layers that not every reader unpacks, or, with ``more`` on top, too many of them.
        DamagedImage: its documents contradict each other.
    """
    other = next((one for one in base_layers if one.media_type not in GZIPPED), None)
    if other is not None:
        raise UnsuitableImage(
            f"The base has a layer of {other.media_type[:90]!r}, which not every Docker unpacks.",
            hint="choose a base whose layers are compressed with gzip",
        )
    if len(base_layers) != len(base.rootfs.diff_ids):
        raise DamagedImage("The base's manifest and its config name different layers.")
    count = len(base_layers) + more
    if count > MAX_LAYERS:
        raise UnsuitableImage(
            f"The image would have {count} layers, and Docker takes {MAX_LAYERS}.",
            hint="choose a base of fewer layers",
        )


def _history_of(base: Config) -> tuple[History, ...]:
    """The base's own, or one line for each of its layers where it tells none that fits."""
    told = sum(not one.empty_layer for one in base.history)
    if told == len(base.rootfs.diff_ids):
        return base.history
    return tuple(History(comment="of the base") for _ in base.rootfs.diff_ids)


def _run_config(base: Config, run: Run) -> dict[str, Any]:
    """How it is run: of the base what is not said here, and never its entry point, user or volumes."""
    inherited = environment_of(base)
    config: dict[str, Any] = {
        "User": run.user,
        "ExposedPorts": {f"{run.port}/tcp": {}},
        "Env": [f"{name}={value}" for name, value in (inherited | dict(run.environment)).items()],
        "Cmd": list(run.words),
        "WorkingDir": run.folder,
        "StopSignal": "SIGTERM",
    }
    if run.volumes:
        config["Volumes"] = {one: {} for one in run.volumes}
    if run.health:
        config["Healthcheck"] = {
            "Test": ["CMD", *run.health],
            "Interval": 15_000_000_000,
            "Timeout": 5_000_000_000,
            "StartPeriod": 60_000_000_000,
            "StartInterval": 1_000_000_000,
            "Retries": 3,
        }
    if run.labels:
        config["Labels"] = dict(sorted(run.labels.items()))
    return config


def environment_of(config: Config) -> dict[str, str]:
    """The variables that a config sets.

    Raises:
        DamagedImage: they are no list of texts.
    """
    told = config.config.get("Env") or []
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise DamagedImage("The image's config has variables that are none.")
    pairs = (one.partition("=") for one in told)
    return {name: value for name, _, value in pairs}
