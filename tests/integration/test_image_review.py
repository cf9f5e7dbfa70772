"""What goes wrong between an image and its registry, and goes well the next time."""

import shutil
from pathlib import Path

import pytest
from tests.registry_server import DockerRegistry

from aweigh import Packed
from aweigh.bundle.keys import make_key
from aweigh.bundle.remote import push_bundle
from aweigh.cli.image_checks import named_by
from aweigh.errors import DamagedImage
from aweigh.oci.client import open_registry
from aweigh.oci.documents import OCI_LAYER_GZIP, OCI_MANIFEST, descriptor_of, encode, manifest_of, read_manifest
from aweigh.oci.reference import Reference
from aweigh.oci.store import Store
from aweigh.targets.image.publish import COSIGN_SIGNATURE, send, sign

pytestmark = pytest.mark.needs("docker-registry")


def test_a_blob_that_was_changed_here_is_not_sent_for_ever(image_registry: DockerRegistry, tmp_path):
    store = Store(tmp_path)
    blob = descriptor_of(b"a layer", OCI_LAYER_GZIP)
    store.keep(b"a layer")
    store.path(blob.digest).write_bytes(b"another")
    with open_registry(image_registry.host, insecure=True, environ={}) as registry:
        with pytest.raises(DamagedImage, match="kept on this machine was changed"):
            send(registry, "team/changed", blob, store)
        assert not store.has(blob), "the next build makes it anew"


def test_a_second_signature_leaves_the_first(image_registry: DockerRegistry, tmp_path):
    store, to = Store(tmp_path), Reference(image_registry.host, "team/twice", "1")
    config = descriptor_of(b"{}", "application/vnd.oci.empty.v1+json")
    store.keep(b"{}")
    content = encode(manifest_of(config, [config]))
    subject = descriptor_of(content, OCI_MANIFEST)
    first, second = make_key(), make_key()
    with open_registry(image_registry.host, insecure=True, environ={}) as registry:
        send(registry, to.repository, config, store)
        registry.push_manifest(to.repository, "1", content, OCI_MANIFEST)
        for key in (first, second, first):
            tag = sign(registry, to, subject, key, store=store)
        layers = read_manifest(registry.pull_manifest(to.repository, tag).content).layers
    assert len({one.annotations[COSIGN_SIGNATURE] for one in layers}) == len(layers) == 2


def test_a_bundle_s_digest_is_not_of_its_file_s_name(penguins: Packed, image_registry: DockerRegistry, tmp_path: Path):
    odd = tmp_path / "odd\udcff name.aweigh"  # no text at all
    shutil.copy(penguins.path, odd)
    to = Reference(image_registry.host, "bundles/named", "1")
    with open_registry(image_registry.host, insecure=True, environ={}) as registry:
        assert push_bundle(registry, odd, to).digest == push_bundle(registry, penguins.path, to).digest


@pytest.mark.parametrize(("name", "called"), [("My Model (1).aweigh", "my-model-1"), ("模型.aweigh", "app")])
def test_an_image_without_a_name_is_called_after_any_file(name, called):
    assert named_by(Path(name), None, push=False).repository == called
