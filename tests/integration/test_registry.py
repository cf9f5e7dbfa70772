"""The client against a real registry, and skopeo beside it: what we push it reads, what it pushes we read."""

import hashlib
import io
import json
import random
import socket
import subprocess
from pathlib import Path

import pytest
from tests.odd_server import CuttingProxy
from tests.registry_server import PASSWORD, USERNAME, TokenServer, certificate, running, with_passwords

from aweigh.errors import DamagedImage, StorageFull, UsageError
from aweigh.oci.client import open_registry
from aweigh.oci.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    EMPTY,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    descriptor_of,
    digest_of,
    encode,
    index_of,
    manifest_of,
    read_index,
)
from aweigh.oci.errors import AccessDenied, NotInRegistry, RegistrySilent

pytestmark = pytest.mark.needs("docker-registry")

MIB = 2**20


def open_local(host, environ=None, pauses=None):
    pause = (lambda seconds: None) if pauses is None else pauses.append
    return open_registry(host, insecure=True, environ=environ or {}, pause=pause)


@pytest.fixture
def registry(image_registry):
    with open_local(image_registry.host) as found:
        yield found


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def give(content):
    return lambda: io.BytesIO(content)


def push(registry, repository, content, media_type=OCI_LAYER_GZIP, **more):
    found = descriptor_of(content, media_type)
    return found, registry.push_blob(repository, found, give(content), **more)


def push_image(registry, repository, tag, *, flavour="oci", layers=(b"one", b"two")):
    """Push what looks like an image to those who do not run it."""
    config = encode({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
    kinds = (OCI_CONFIG, OCI_LAYER_GZIP) if flavour == "oci" else (DOCKER_CONFIG, DOCKER_LAYER_GZIP)
    named, _ = push(registry, repository, config, kinds[0])
    descriptors = [push(registry, repository, one, kinds[1])[0] for one in layers]
    manifest = manifest_of(named, descriptors, flavour=flavour)
    content = encode(manifest)
    registry.push_manifest(repository, tag, content, manifest.media_type)
    return descriptor_of(content, manifest.media_type), content


# -- blobs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2**16, 5 * MIB, 5 * MIB + 1])
def test_a_blob_comes_back_as_it_went(registry, tmp_path, size):
    content, told, heard = noise(size, seed=size), [], []
    found, arrival = push(registry, "blobs/there", content, chunk_bytes=2 * MIB, progress=lambda *at: told.append(at))
    assert arrival == "uploaded"
    assert registry.head_blob("blobs/there", found.digest) == size
    registry.pull_blob("blobs/there", found, tmp_path / "blob", progress=lambda *at: heard.append(at))
    assert (tmp_path / "blob").read_bytes() == content
    assert told[-1] == (size, size)
    assert told == sorted(told)
    assert heard == sorted(heard)
    assert not size or heard[-1] == (size, size)
    assert [one.name for one in tmp_path.iterdir()] == ["blob"]


def test_what_is_there_is_not_sent_again(registry):
    content, told = noise(300), []
    assert push(registry, "blobs/once", content)[1] == "uploaded"
    assert push(registry, "blobs/once", content, progress=lambda *at: told.append(at))[1] == "present"
    assert told == [(300, 300)]


def test_a_blob_is_taken_over_from_another_repository(registry):
    content = noise(301)
    found, _ = push(registry, "blobs/first", content)
    assert push(registry, "blobs/second", content, mount_from="blobs/first")[1] == "mounted"
    assert registry.head_blob("blobs/second", found.digest) == 301
    other = noise(302)
    assert push(registry, "blobs/second", other, mount_from="blobs/first")[1] == "uploaded"
    assert push(registry, "blobs/second", noise(6 * MIB), mount_from="blobs/nowhere")[1] == "uploaded"


def test_bytes_that_are_not_those_of_their_digest_are_refused_by_both_sides(registry, tmp_path):
    wrong = Descriptor(OCI_LAYER_GZIP, digest_of(b"right"), 5)
    with pytest.raises(DamagedImage, match="did not get the bytes"):
        registry.push_blob("blobs/wrong", wrong, give(b"wrong"))
    with pytest.raises(DamagedImage, match="has not the 5 bytes"):
        registry.push_blob("blobs/wrong", wrong, give(b"righ"))
    with pytest.raises(DamagedImage, match="has not the 5 bytes"):
        registry.push_blob("blobs/wrong", wrong, give(b"rights"))
    assert registry.head_blob("blobs/wrong", wrong.digest) is None
    found, _ = push(registry, "blobs/wrong", b"right")
    for size, why in ((4, "more bytes than"), (6, "fewer bytes than")):
        with pytest.raises(DamagedImage, match=why):
            registry.pull_blob("blobs/wrong", Descriptor(OCI_LAYER_GZIP, found.digest, size), tmp_path / "blob")
    assert list(tmp_path.iterdir()) == []


def test_what_was_in_the_file_stays_until_all_of_the_blob_is_there(registry, tmp_path):
    (tmp_path / "blob").write_bytes(b"before")
    missing = Descriptor(OCI_LAYER_GZIP, digest_of(b"nowhere"), 7)
    with pytest.raises(NotInRegistry, match=r"has no blob sha256:[0-9a-f]{12} in blobs/none"):
        registry.pull_blob("blobs/none", missing, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == b"before"
    found, _ = push(registry, "blobs/full", b"content")
    with pytest.raises(UsageError, match="cannot be written"):
        registry.pull_blob("blobs/full", found, tmp_path / "absent" / "blob")


def test_a_full_disk_is_told(registry):
    found, _ = push(registry, "blobs/full", noise(100_000))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        registry.read_blob("blobs/full", found, full.write)


def test_a_full_disk_is_told_of_a_file(registry, tmp_path):
    import resource

    found, _ = push(registry, "blobs/full", noise(100_000))
    # The closest to a full disk that a test can have without being root: a limit on files gives EFBIG.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises((StorageFull, UsageError)):
            registry.pull_blob("blobs/full", found, tmp_path / "blob")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_upload_comes_through_where_the_connection_breaks(image_registry):
    """This registry forgets an upload that breaks off within a chunk: it begins anew."""
    content, pauses = noise(12 * MIB, seed=3), []
    proxy = CuttingProxy(image_registry.port, [3 * MIB, 5 * MIB, 40_000], upwards=True)
    with open_local(proxy.host, pauses=pauses) as registry:
        found, arrival = push(registry, "blobs/cut", content, chunk_bytes=4 * MIB)
    proxy.close()
    assert arrival == "uploaded"
    assert proxy.cuts == []
    assert len(pauses) >= 3
    with open_local(image_registry.host) as registry:
        assert registry.head_blob("blobs/cut", found.digest) == len(content)


def test_an_upload_goes_on_behind_the_chunks_that_a_registry_has_when_it_is_started_anew(docker_registry, tmp_path):
    content, told = noise(12 * MIB, seed=6), []
    with running(docker_registry, tmp_path) as server:
        killed = []

        def progress(done, _):
            told.append(done)
            if told.count(4 * MIB) == 2 and done == 4 * MIB:  # all of a chunk is sent, and answered
                server.stop()
                killed.append(True)

        def pause(_):
            if killed:
                killed.clear()
                server.start()

        with open_registry(server.host, insecure=True, environ={}, pause=pause) as registry:
            found, _ = push(registry, "blobs/cut", content, chunk_bytes=4 * MIB, progress=progress)
            assert registry.head_blob("blobs/cut", found.digest) == len(content)
    assert told == sorted(told)
    assert len(told) < 2 * len(content) / 2**18


def test_a_whole_blob_is_sent_again_where_the_connection_broke(image_registry):
    proxy = CuttingProxy(image_registry.port, [MIB, MIB], upwards=True)
    with open_local(proxy.host) as registry:
        assert push(registry, "blobs/cut", noise(2 * MIB, seed=4))[1] == "uploaded"
    proxy.close()
    assert proxy.cuts == []


def test_a_download_goes_on_where_the_connection_broke(image_registry, tmp_path):
    content, pauses, told = noise(6 * MIB, seed=5), [], []
    with open_local(image_registry.host) as registry:
        found, _ = push(registry, "blobs/cut", content)
    proxy = CuttingProxy(image_registry.port, [2 * MIB, 3 * MIB, 1], upwards=False)
    with open_local(proxy.host, pauses=pauses) as registry:
        registry.pull_blob("blobs/cut", found, tmp_path / "blob", progress=lambda *at: told.append(at[0]))
    proxy.close()
    assert (tmp_path / "blob").read_bytes() == content
    assert proxy.cuts == []
    assert len(pauses) == 3
    assert told == sorted(set(told))


# -- manifests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["oci", "docker"])
def test_a_manifest_comes_back_as_it_went(registry, flavour):
    descriptor, content = push_image(registry, f"images/{flavour}", "1.0", flavour=flavour)
    for wanted in ("1.0", descriptor.digest):
        found = registry.pull_manifest(f"images/{flavour}", wanted)
        assert (found.content, found.descriptor) == (content, descriptor)
        assert registry.head_manifest(f"images/{flavour}", wanted) == descriptor
    index = encode(index_of([descriptor], flavour=flavour))
    media_type = json.loads(index)["mediaType"]
    assert registry.push_manifest(f"images/{flavour}", "", index, media_type) == digest_of(index)
    assert registry.pull_manifest(f"images/{flavour}", digest_of(index)).media_type == media_type
    assert registry.tags(f"images/{flavour}") == ["1.0"]
    assert registry.delete_manifest(f"images/{flavour}", descriptor.digest)
    assert not registry.delete_manifest(f"images/{flavour}", descriptor.digest)
    assert registry.head_manifest(f"images/{flavour}", "1.0") is None


def test_what_is_not_there_is_told_by_its_name(registry, image_registry):
    with pytest.raises(NotInRegistry, match=f"{image_registry.host} has no images/none:9: manifest unknown") as caught:
        registry.pull_manifest("images/none", "9")
    assert (caught.value.status, caught.value.word) == (404, "MANIFEST_UNKNOWN")
    assert "check the name and the tag" in caught.value.hint
    with pytest.raises(NotInRegistry, match="has no repository images/none"):
        registry.tags("images/none")
    assert registry.head_manifest("images/none", "9") is None
    assert registry.head_blob("images/none", digest_of(b"")) is None
    assert registry.referrers("images/none", digest_of(b"")) == ()


@pytest.mark.parametrize(
    ("wanted", "content", "media_type", "why"),
    [
        ("a b", encode(index_of([])), OCI_INDEX, "no tag"),
        ("..", encode(index_of([])), OCI_INDEX, "no tag"),
        (digest_of(b"x"), encode(index_of([])), OCI_INDEX, "not what the digest says"),
        ("1", b"{", OCI_INDEX, "is none"),
        ("1", encode(index_of([])), OCI_MANIFEST, "not pushed as"),
        ("1", encode(index_of([])), "text/html\r\nX: y", "not pushed as"),
        ("1", b" " * (5 * MIB), OCI_INDEX, "larger than a registry has to take"),
    ],
)
def test_what_is_no_manifest_is_not_sent(registry, wanted, content, media_type, why):
    with pytest.raises(UsageError, match=why):
        registry.push_manifest("images/bad", wanted, content, media_type)


@pytest.mark.parametrize("repository", ["", "../x", "A/b", "a/b\n", "a/$(id)", "a;b", "a?b", "a/../b"])
def test_a_repository_that_is_none_is_never_asked_for(registry, repository):
    blob = descriptor_of(b"", OCI_EMPTY)
    for ask in (
        lambda: registry.pull_manifest(repository, "1"),
        lambda: registry.head_manifest(repository, "1"),
        lambda: registry.push_manifest(repository, "1", encode(index_of([])), OCI_INDEX),
        lambda: registry.delete_manifest(repository, blob.digest),
        lambda: registry.referrers(repository, blob.digest),
        lambda: registry.tags(repository),
        lambda: registry.head_blob(repository, blob.digest),
        lambda: registry.push_blob(repository, blob, give(b"")),
        lambda: registry.push_blob("a/b", blob, give(b""), mount_from=repository),
        lambda: registry.pull_bytes(repository, blob),
    ):
        with pytest.raises(UsageError, match="no repository"):
            ask()


def test_who_refers_to_a_manifest_is_listed_by_tag_where_there_is_no_api(registry):
    subject, _ = push_image(registry, "images/signed", "1")
    empty, _ = push(registry, "images/signed", EMPTY, OCI_EMPTY)
    # Somebody else's list has more in it than is known here, and keeps it.
    other = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"other"), "size": 5, "artifactType": "x/y", "data": "e30="}
    others, _ = push_image(registry, "images/signed", "other", layers=(b"three",))
    listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**other, "digest": others.digest}], "x": 1}
    tag = subject.digest.replace(":", "-")
    registry.push_manifest("images/signed", tag, encode(listed), OCI_INDEX)
    digests = []
    for kind in ("application/vnd.example.signature", "application/vnd.example.sbom"):
        manifest = manifest_of(
            empty, [empty], artifact_type=kind, subject=subject, annotations={"org.example": kind[-4:]}
        )
        digests += [registry.push_manifest("images/signed", "", encode(manifest), OCI_MANIFEST) for _ in range(2)]
    found = registry.referrers("images/signed", subject.digest)
    assert [one.digest for one in found] == [others.digest, digests[0], digests[2]]
    (sbom,) = registry.referrers("images/signed", subject.digest, artifact_type="application/vnd.example.sbom")
    assert (sbom.digest, sbom.media_type, dict(sbom.annotations)) == (digests[2], OCI_MANIFEST, {"org.example": "sbom"})
    written = json.loads(registry.pull_manifest("images/signed", tag).content)
    assert (written["x"], written["manifests"][0]["data"]) == (1, "e30=")
    assert registry.delete_manifest("images/signed", digests[0])
    found = registry.referrers("images/signed", subject.digest)
    assert [one.digest for one in found] == [others.digest, digests[2]]


# -- skopeo ----------------------------------------------------------------------------------------------------------


def run_skopeo(skopeo, *arguments):
    done = subprocess.run([skopeo, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("flavour", ["oci", "docker"])
def test_skopeo_reads_what_is_pushed_and_what_it_pushes_is_read(registry, image_registry, skopeo, tmp_path, flavour):
    repository = f"skopeo/{flavour}"
    layers = (b"one", noise(5 * MIB))
    descriptor, content = push_image(registry, repository, "1", flavour=flavour, layers=layers)
    index = encode(index_of([descriptor], flavour=flavour))
    registry.push_manifest(repository, "all", index, json.loads(index)["mediaType"])
    address = f"docker://{image_registry.host}/{repository}"
    said = json.loads(run_skopeo(skopeo, "inspect", "--tls-verify=false", f"{address}:1"))
    assert said["Digest"] == descriptor.digest
    assert said["Layers"] == [digest_of(one) for one in layers]
    run_skopeo(skopeo, "copy", "--all", "--src-tls-verify=false", f"{address}:all", f"dir:{tmp_path / 'out'}")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == index
    assert (tmp_path / "out" / hashlib.sha256(layers[1]).hexdigest()).read_bytes() == layers[1]

    back = f"docker://{image_registry.host}/{repository}-back:1"
    run_skopeo(skopeo, "copy", "--all", "--dest-tls-verify=false", f"dir:{tmp_path / 'out'}", back)
    found = registry.pull_manifest(f"{repository}-back", "1")
    assert found.content == index
    (inner,) = read_index(found.content).manifests
    assert registry.pull_manifest(f"{repository}-back", inner.digest).content == content
    registry.pull_blob(f"{repository}-back", descriptor_of(layers[1], OCI_LAYER_GZIP), tmp_path / "blob")


# -- signing in ------------------------------------------------------------------------------------------------------


def account(host, password=PASSWORD):
    return {
        "AWEIGH_REGISTRY_HOST": host,
        "AWEIGH_REGISTRY_USERNAME": USERNAME,
        "AWEIGH_REGISTRY_PASSWORD": password,
    }


@pytest.fixture(scope="module")
def closed_registry(docker_registry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed")
    with running(docker_registry, folder, **with_passwords(folder)) as found:
        yield found


def test_a_name_and_a_password_open_the_door(closed_registry, tmp_path):
    host = closed_registry.host
    with open_local(host, account(host)) as registry:
        registry.ping()
        push_image(registry, "team/app", "1", layers=(noise(5 * MIB),))
        assert registry.tags("team/app") == ["1"]
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {f"http://{host}": {"username": USERNAME, "password": PASSWORD}}})
    )
    with open_local(host, {"DOCKER_CONFIG": str(tmp_path)}) as registry:
        assert registry.tags("team/app") == ["1"]


def test_nobody_and_a_wrong_password_are_told_apart(closed_registry):
    host = closed_registry.host
    with open_local(host) as registry, pytest.raises(AccessDenied, match=f"{host} wants somebody signed in") as caught:
        registry.tags("team/app")
    assert f"docker login {host}" in caught.value.hint
    with (
        open_local(host, account(host, "wrong")) as registry,
        pytest.raises(AccessDenied, match="does not accept the account of AWEIGH_REGISTRY_USERNAME") as caught,
    ):
        registry.tags("team/app")
    assert "wrong" not in f"{caught.value.message} {caught.value.hint}"
    with open_local(host, account("ghcr.io")) as registry, pytest.raises(AccessDenied, match="wants somebody"):
        registry.tags("team/app")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    found = TokenServer(tmp_path_factory.mktemp("tokens"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def token_registry(docker_registry, tmp_path_factory, tokens):
    with running(docker_registry, tmp_path_factory.mktemp("by-token"), **tokens.settings()) as found:
        yield found


def test_a_token_is_fetched_once_for_each_scope(token_registry, tokens):
    host = token_registry.host
    tokens.asked.clear()
    with open_local(host, account(host)) as registry:
        descriptor, _ = push_image(registry, "team/one", "1", layers=(noise(5 * MIB),))
        asked = [query["scope"] for _, query, _ in tokens.asked]
        assert asked == [["repository:team/one:pull,push"]]
        assert tokens.asked[0][1]["service"] == [tokens.SERVICE]
        assert tokens.asked[0][1]["kept"] == ["1"]
        registry.pull_manifest("team/one", "1")
        registry.tags("team/one")
        assert [query["scope"] for _, query, _ in tokens.asked[1:]] == [["repository:team/one:pull"]]
        content = noise(5 * MIB)
        assert push(registry, "team/two", content, mount_from="team/one")[1] == "mounted"
        assert tokens.asked[-1][1]["scope"] == ["repository:team/two:pull,push", "repository:team/one:pull"]
        assert registry.delete_manifest("team/one", descriptor.digest)


def test_a_token_that_has_ended_is_fetched_anew(token_registry, tokens):
    host = token_registry.host
    with open_local(host, account(host)) as registry:
        push_image(registry, "team/ends", "1")
        tokens.asked.clear()
        registry.tags("team/ends")
        kept = registry.connection.authority._kept
        # As it is when the registry is started anew with another key: what was good is not.
        for scope, one in list(kept.items()):
            kept[scope] = type(one)(type(one.token)("no.such.token"), one.ends)
        assert registry.tags("team/ends") == ["1"]
        assert PASSWORD not in repr(registry)
        assert "no.such.token" not in repr(registry)
    assert len(tokens.asked) == 2


def test_an_identity_is_exchanged_for_tokens(token_registry, tokens, tmp_path):
    host = token_registry.host
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"identitytoken": tokens.IDENTITY}}}))
    tokens.asked.clear()
    with open_local(host, {"DOCKER_CONFIG": str(tmp_path)}) as registry:
        push_image(registry, "team/identity", "1")
    ((method, form, said),) = tokens.asked
    assert (method, said) == ("POST", None)
    assert form["client_id"] == ["aweigh"]
    assert tokens.IDENTITY not in repr(registry)
    assert form["scope"] == ["repository:team/identity:pull,push"]


def test_what_an_account_may_not_do_is_told(token_registry, tokens, tmp_path):
    host = token_registry.host
    with open_local(host, account(host)) as registry:
        push_image(registry, "team/public", "1")
        with pytest.raises(AccessDenied, match="does not let the account of AWEIGH_REGISTRY_USERNAME"):
            registry.tags("closed/app")
    with open_local(host) as registry:
        assert registry.tags("team/public") == ["1"]
        with pytest.raises(AccessDenied, match="wants somebody signed in to push") as caught:
            push(registry, "team/public", noise(10, seed=9))
        assert caught.value.status == 401
    with (
        open_local(host, account(host, "wrong")) as registry,
        pytest.raises(AccessDenied, match="does not accept the account"),
    ):
        registry.tags("team/public")


# -- TLS and addresses -----------------------------------------------------------------------------------------------


def test_tls_by_an_authority_of_ones_own(docker_registry, tmp_path):
    certificate(tmp_path)
    tls = {"tls": {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}}
    with running(docker_registry, tmp_path / "registry", http=tls) as server:
        environ = {"SSL_CERT_FILE": str(tmp_path / "cert.pem")}
        with open_registry(server.host, environ=environ) as registry:
            push_image(registry, "team/app", "1", layers=(noise(5 * MIB),))
            assert registry.tags("team/app") == ["1"]
        with (
            open_registry(server.host, environ={}) as registry,
            pytest.raises(RegistrySilent, match=r"The certificate of .* is not trusted") as caught,
        ):
            registry.ping()
        assert "SSL_CERT_FILE" in caught.value.hint


def test_what_does_not_speak_tls_is_told(image_registry):
    with (
        open_registry(image_registry.host, environ={}) as registry,
        pytest.raises(RegistrySilent, match="does not speak TLS") as caught,
    ):
        registry.ping()
    assert "--insecure" in caught.value.hint


def test_nothing_that_answers_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
        pauses = []
        with (
            open_local(host, pauses=pauses) as registry,
            pytest.raises(RegistrySilent, match=f"Nothing answers at {host} when it was asked to list") as caught,
        ):
            registry.tags("team/app")
    assert caught.value.exit_code == 4
    assert pauses == []


def test_a_name_that_is_not_known_is_told():
    pauses = []
    with (
        open_registry("registry.invalid", environ={}, pause=pauses.append) as registry,
        pytest.raises(RegistrySilent),
    ):
        registry.ping()


def test_a_registry_that_is_started_anew_is_waited_for(docker_registry, tmp_path):
    with running(docker_registry, tmp_path) as server:
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) == 2:
                server.start()

        with open_registry(server.host, insecure=True, environ={}, pause=pause) as registry:
            push_image(registry, "team/app", "1")
            server.stop()
            assert registry.tags("team/app") == ["1"]
        assert len(pauses) >= 2
        assert pauses[1] > pauses[0]
