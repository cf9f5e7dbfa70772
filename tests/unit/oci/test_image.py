"""Images: configs, manifests and layouts are what the image specification's own schemas say."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT4

from aweigh.errors import DamagedImage, UnsuitableImage, UsageError
from aweigh.oci.documents import (
    DOCKER_MANIFEST,
    OCI_LAYER_GZIP,
    Descriptor,
    descriptor_of,
    digest_of,
    encode,
    index_of,
    read_index,
    read_manifest,
)
from aweigh.oci.image import Config, History, Image, RootFs, Run, put_together, read_config
from aweigh.oci.layers import Entry, Layer, write_layer
from aweigh.oci.layout import Named, write_archive, write_layout
from aweigh.oci.store import Store

SCHEMAS = Path(__file__).parents[2] / "data" / "oci"
ORIGIN = "https://opencontainers.org/schema/"


def check(document: bytes, name: str) -> None:
    """Hold a document against one of the specification's schemas."""
    contents = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    resources = [(file, DRAFT4.create_resource(one)) for file, one in contents.items()]
    # Each schema names itself, and the others beside it, below one of these.
    known = [(f"{place}{file}", one) for file, one in resources for place in ("", ORIGIN, f"{ORIGIN}image/")]
    registry = referencing.Registry().with_resources(known)
    jsonschema.Draft4Validator(contents[name], registry=registry).validate(json.loads(document))


RUN = Run(
    words=["aweigh", "serve", "m.aweigh"],
    environment={"PATH": "/opt/venv/bin:/usr/bin", "PORT": "8000"},
    folder="/app",
    user="10001:10001",
    port=8000,
    health=("python", "-c", "pass"),
    volumes=("/state",),
    labels={"org.opencontainers.image.title": "m"},
)


def layer_in(store: Store, **files: bytes) -> Layer:
    """A layer of these files, kept."""
    return store.keep_written(
        lambda file: write_layer({name: Entry(one) for name, one in files.items()}, file, created_s=0, history="files"),
        lambda one: one.descriptor,
    )


def image_in(store: Store, flavour: str = "oci", architecture: str = "amd64") -> Image:
    """An image of a base of one layer and a layer on top, its blobs kept."""
    below = layer_in(store, base=b"base")
    base = Config(
        architecture=architecture,
        os="linux",
        rootfs=RootFs("layers", (below.diff_id,)),
        config={"Env": ["PATH=/usr/bin", "LANG=C.UTF-8"], "Entrypoint": ["/base"], "User": "root"},
    )
    image = put_together(
        base,
        [below.descriptor],
        [layer_in(store, app=architecture.encode())],
        RUN,
        created="1980-01-01T00:00:00Z",
        flavour=flavour,
        annotations={"org.opencontainers.image.title": "m"},
    )
    store.keep(image.config)
    return image


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def test_an_image_is_as_the_specification_says(store):
    image = image_in(store)
    check(image.content, "image-manifest-schema.json")
    check(image.config, "config-schema.json")
    assert read_manifest(image.content) == image.manifest
    index = encode(index_of([image.descriptor]))
    check(index, "image-index-schema.json")
    assert read_index(index).manifests == (image.descriptor,)


def test_how_it_is_run(store):
    config = json.loads(image_in(store).config)
    run = config["config"]
    assert run["Cmd"] == ["aweigh", "serve", "m.aweigh"]
    assert "Entrypoint" not in run, "the base's own would come before the words"
    assert run["User"] == "10001:10001"
    assert run["Env"] == ["PATH=/opt/venv/bin:/usr/bin", "LANG=C.UTF-8", "PORT=8000"]
    assert run["StopSignal"] == "SIGTERM"
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 2


def test_the_same_image_in_docker_s_words(store):
    image = image_in(store, "docker")
    document = json.loads(image.content)
    assert document["mediaType"] == DOCKER_MANIFEST
    assert "annotations" not in document
    assert {one["mediaType"] for one in document["layers"]} == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    assert json.loads(image_in(store).config) == json.loads(image.config)


def test_a_base_that_not_every_reader_unpacks_is_refused(store):
    base = Config(architecture="amd64", os="linux", rootfs=RootFs("layers", ("sha256:" + "0" * 64,)))
    zstd = Descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "sha256:" + "1" * 64, 1)
    with pytest.raises(UnsuitableImage, match="zstd"):
        put_together(base, [zstd], [], RUN, created="1980-01-01T00:00:00Z")
    with pytest.raises(DamagedImage, match="different layers"):
        put_together(base, [], [], RUN, created="1980-01-01T00:00:00Z")


def test_too_many_layers_are_refused(store):
    one = layer_in(store, a=b"")
    base = Config(architecture="amd64", os="linux", rootfs=RootFs("layers", (one.diff_id,) * 127))
    with pytest.raises(UnsuitableImage, match="128 layers"):
        put_together(base, [one.descriptor] * 127, [one], RUN, created="1980-01-01T00:00:00Z")


def test_a_history_that_fits_is_kept(store):
    below = layer_in(store, base=b"")
    history = (History(created_by="ADD"), History(created_by="CMD", empty_layer=True))
    base = Config(architecture="amd64", os="linux", rootfs=RootFs("layers", (below.diff_id,)), history=history)
    image = put_together(base, [below.descriptor], [], RUN, created="1980-01-01T00:00:00Z")
    assert read_config(image.config).history == history


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"schemaVersion":2}',
        b'{"schemaVersion":2,"layers":[],"config":{"mediaType":"x","digest":"md5:1","size":1}}',
        b'{"schemaVersion":2,"layers":[],"config":{"mediaType":"x","digest":"sha256:' + b"0" * 64 + b'","size":-1}}',
        b"[" * 100_000,
        b" " * 5_000_000,
    ],
)
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(DamagedImage):
        read_manifest(content)
    with pytest.raises(DamagedImage):
        read_index(content.replace(b"layers", b"manifest"))
    with pytest.raises(DamagedImage):
        read_config(content)


# -- layouts ---------------------------------------------------------------------------------------------------------


def test_a_layout_is_as_the_specification_says(store, tmp_path):
    images = [image_in(store, architecture=one) for one in ("amd64", "arm64")]
    index = encode(index_of([one.descriptor for one in images]))
    named = Named(images, "team/m", "1.0", index, descriptor_of(index, "application/vnd.oci.image.index.v1+json"))
    write_layout(named, store, tmp_path / "out")
    check((tmp_path / "out/oci-layout").read_bytes(), "image-layout-schema.json")
    check((tmp_path / "out/index.json").read_bytes(), "image-index-schema.json")
    for path in (tmp_path / "out/blobs/sha256").iterdir():
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"
    top = json.loads((tmp_path / "out/index.json").read_text())["manifests"][0]
    assert top["digest"] == digest_of(index)
    assert top["annotations"]["org.opencontainers.image.ref.name"] == "1.0"


def test_a_layout_is_written_into_an_empty_folder_only(store, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_layout(Named([image_in(store)], "m", "1"), store, tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_archive_is_the_same_bytes_each_time_and_docker_s_as_well(store, tmp_path):
    named = Named([image_in(store)], "team/m", "1.0")
    write_archive(named, store, tmp_path / "a.tar", created_s=0)
    write_archive(named, store, tmp_path / "b.tar", created_s=0)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        (docker,) = json.load(archive.extractfile("manifest.json"))
        held = {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}
    assert docker["RepoTags"] == ["team/m:1.0"]
    assert held[docker["Config"]] == named.images[0].config
    assert all(digest_of(held[one]) == f"sha256:{one.rsplit('/', 1)[-1]}" for one in docker["Layers"])


def test_a_blob_that_was_changed_here_goes_nowhere(store, tmp_path):
    image = image_in(store)
    path = store.path(image.manifest.layers[-1].digest)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedImage, match="changed"):
        write_layout(Named([image], "m", "1"), store, tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == [], "nothing half-written is left"
    assert not path.exists(), "and it is built anew the next time"


# -- the store -------------------------------------------------------------------------------------------------------


def test_a_blob_is_there_whole_or_not_at_all(store):
    def fails(file: Any) -> Descriptor:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.keep_written(fails, lambda one: one)
    assert [*(store.folder / "blobs/sha256").iterdir()] == []


def test_notes_that_are_broken_count_as_none(store):
    store.note("key", {"a": 1})
    assert store.noted("key", dict[str, int]) == {"a": 1}
    (path,) = (store.folder / "notes").iterdir()
    path.write_bytes(b"{")
    assert store.noted("key", dict[str, int]) is None
    assert store.noted("other", dict[str, int]) is None


def test_a_blob_that_is_kept_twice_is_there_once(store):
    first, again = store.keep(b"same"), store.keep(b"same")
    assert first == again == digest_of(b"same")
    assert store.read(descriptor_of(b"same", OCI_LAYER_GZIP)) == b"same"
    assert [one.name for one in (store.folder / "blobs/sha256").iterdir()] == [first[7:]]
    with io.BytesIO() as out:
        store.copy(descriptor_of(b"same", OCI_LAYER_GZIP), out)
        assert out.getvalue() == b"same"
