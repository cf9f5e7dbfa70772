"""Kubeconfigs as people have them: merged, broken, with plugins that are real programs; and who is shown to whom."""

import base64
import json
import os
import stat
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.kubernetes.api import running_api
from tests.kubernetes.apiserver import Authority, pem

from aweigh.errors import AweighError, ConfigError
from aweigh.targets.kubernetes.client import Request, open_client
from aweigh.targets.kubernetes.credentials import Wallet, not_after, tls_context
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.kubeconfig import Connection, User, find_connection

SERVER = "https://cluster.example:6443"


def config(user=None, *, cluster=None, context=None, **more):
    found = {
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", **(context or {})}}],
    }  # fmt: skip
    return found | more


@pytest.fixture
def write(tmp_path):
    """Return what writes kubeconfigs, and gives the environment that names them."""

    def go(*documents):
        paths = []
        for i, one in enumerate(documents):
            path = tmp_path / f"config{i}"
            path.write_text(one if isinstance(one, str) else yaml.safe_dump(one))
            paths.append(str(path))
        return {"KUBECONFIG": ":".join(paths), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    return go


def test_several_files_are_merged_and_the_first_of_a_name_counts(write):
    first = {"contexts": [{"name": "b", "context": {"cluster": "c", "user": "u", "namespace": "models"}}],
             "clusters": None, "users": [{"name": "u", "user": {"token": "first"}}]}  # fmt: skip
    second = config({"token": "second"}, **{"current-context": "b"})
    environ = write(first, second)
    environ["KUBECONFIG"] += ":/nowhere/at/all:"
    found = find_connection(environ)
    assert (found.server, found.namespace, found.context) == (SERVER, "models", "b")
    assert found.user.token.reveal() == "first"
    assert find_connection(environ, context="a").namespace == "default"
    assert find_connection(environ, namespace="other").namespace == "other"


def test_what_clusters_need_is_read(write, tmp_path):
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "token").write_text("of a file\n")
    found = find_connection(write(config(
        {"tokenFile": "token", "as": "bob", "as-groups": ["team"]},
        cluster={"certificate-authority": "ca.pem", "tls-server-name": "inner", "proxy-url": "http://proxy:3128"},
    )))  # fmt: skip
    assert (found.authority, found.server_name, found.proxy) == ("CA", "inner", "http://proxy:3128")
    assert found.user.impersonated == (("Impersonate-User", "bob"), ("Impersonate-Group", "team"))
    assert Wallet(found).credentials().token.reveal() == "of a file"
    (tmp_path / "token").write_text("renewed")
    assert Wallet(found).credentials().token.reveal() == "renewed"


def test_a_bundle_of_authorities_has_names_of_any_language(write, tmp_path):
    text = f"# F\u0151tan\u00fas\u00edtv\u00e1ny\n{pem(Authority().certificate)}"
    (tmp_path / "ca.pem").write_text(text, encoding="utf-8")
    data = base64.b64encode(text.encode()).decode()
    for cluster in ({"certificate-authority": "ca.pem"}, {"certificate-authority-data": data}):
        found = find_connection(write(config({"token": "t"}, cluster=cluster)))
        assert tls_context(found, Wallet(found).credentials()).get_ca_certs()
    (tmp_path / "ca.pem").write_bytes(b"\x30\x82\x01")
    found = find_connection(write(config({"token": "t"}, cluster={"certificate-authority": "ca.pem"})))
    with pytest.raises(ConfigError, match="authority is no certificate"):
        tls_context(found, Wallet(found).credentials())


@pytest.mark.parametrize(
    ("document", "sentence", "fix"),
    [
        (config(**{"current-context": ""}), "has no current context", "--context: a"),
        (config(**{"current-context": "z"}), "has no context 'z'", "it has a"),
        (config(clusters=[]), "names a cluster that the kubeconfig does not have: 'c'", "it has none"),
        (config(users=[]), "names a user that the kubeconfig does not have: 'u'", "it has none"),
        (config({"username": "a", "password": "hush"}), "which clusters no longer take", "a token"),
        (config({"auth-provider": {"name": "gcp"}}), "which Kubernetes has removed", "gke-gcloud-auth-plugin"),
        (config({"client-certificate-data": "QQ=="}), "has no client-key", "anew"),
        (config({"client-certificate-data": "!", "client-key-data": "QQ=="}), "is not base64", "anew"),
        (config({"client-certificate": "/no/such", "client-key-data": "QQ=="}), "cannot be read", "anew"),
        (config(cluster={"insecure-skip-tls-verify": True}), "is not verified", "certificate-authority-data"),
        (config(cluster={"server": "http://cluster.example"}), "is not encrypted", "on this machine"),
        (config(cluster={"server": ""}), "has no address", "https://HOST:PORT"),
        (config(cluster={"server": "https://a:b:c"}), "has no address", "https://HOST:PORT"),
        (config(cluster={"proxy-url": "socks5://p"}), "of a kind that is not spoken", "http://"),
        (config({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
         "which is not spoken here", "v1 or v1beta1"),
        (config({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1",
                          "interactiveMode": "Always"}}), "wants to ask at the terminal", "IfAvailable"),
        ("users: [\n  hush: {", "is no YAML, line 2", "kubectl config view"),
        ("[1, 2]", "is none: Expected `object`", "kubectl config view"),
        ("clusters: 3", "is none: Expected `array", "kubectl config view"),
        ("", "has no current context", "--context: none"),
        ("a: &a [*a]\ncurrent-context: x", "has no context 'x'", "it has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_with_a_fix(write, document, sentence, fix):
    with pytest.raises(ConfigError) as caught:
        find_connection(write(document))
    assert sentence in caught.value.message
    assert fix in caught.value.hint
    assert "hush" not in caught.value.message


def test_names_of_digits_and_of_yes_are_names(write):
    text = yaml.safe_dump(config({"token": "t"})).replace("name: c", "name: 123").replace("cluster: c", "cluster: 123")
    text = text.replace("name: a", "name: yes").replace("current-context: a", "current-context: yes")
    assert find_connection(write(text)).context == "yes"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["clusters", "users", "contexts", "current-context", "name", "cluster", "user", "context", "exec"]),
    x), max_leaves=12))  # fmt: skip
def test_no_document_ends_in_anything_but_a_sentence(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "odd"
    path.write_text(yaml.safe_dump(document))
    found = None
    with suppress(AweighError):
        found = find_connection({"KUBECONFIG": str(path)})
    assert found is None or found.server


def test_no_kubeconfig_and_no_pod_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"~/\.kube/config does not exist"):
        find_connection({"HOME": str(tmp_path)}, account=tmp_path)
    with pytest.raises(ConfigError, match="any of the files that KUBECONFIG names does not exist"):
        find_connection({"KUBECONFIG": "/no:/never"}, account=tmp_path)


def test_a_pod_uses_its_own_account(tmp_path):
    for name, text in {"token": "pod-token", "ca.crt": "CA", "namespace": "models"}.items():
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HOME": str(tmp_path)}
    found = find_connection(environ, account=tmp_path)
    assert (found.server, found.namespace, found.authority) == ("https://[fd00::1]:443", "models", "CA")
    assert Wallet(found).credentials().token.reveal() == "pod-token"


# -- plugins -------------------------------------------------------------------------------------------------------

PLUGIN = """\
import json, os, sys
count = {folder!r} + "/count"
number = int(open(count).read()) + 1 if os.path.exists(count) else 1
open(count, "w").write(str(number))
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert asked["spec"]["interactive"] is False and os.environ["OWN"] == "1" and sys.stdin.read() == ""
status = {status}
print(json.dumps({{"apiVersion": {version!r}, "kind": "ExecCredential", "status": status}}))
"""


@pytest.fixture
def plugin(tmp_path, write):
    """Return what makes a plugin, and the connection that asks it."""

    def go(status="{'token': f'token-{number}'}", *, text=None, version="v1", said=None, **more):
        spoken = f"client.authentication.k8s.io/{version}"
        path = tmp_path / "plugin"
        body = text or PLUGIN.format(folder=str(tmp_path), status=status, version=said or spoken)
        path.write_text(f"#!{sys.executable}\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        named = {"command": "./plugin", "args": None, "env": [{"name": "OWN", "value": "1"}], "apiVersion": spoken}
        environ = write(config({"exec": named | more}))
        return find_connection(environ), environ

    return go


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_is_asked_once_and_again_when_its_token_ends(plugin, version):
    connection, environ = plugin(
        "{'token': f'token-{number}', 'expirationTimestamp': '2026-01-01T01:00:00Z'}", version=version,
        provideClusterInfo=True,
    )  # fmt: skip
    ends = datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp()
    now = [ends - 3600]
    wallet = Wallet(connection, environ, clock=lambda: now[0])
    assert [wallet.credentials().token.reveal() for _ in range(3)] == ["token-1"] * 3
    now[0] = ends - 10
    assert wallet.credentials().token.reveal() == "token-2"


def test_a_plugin_s_token_that_is_refused_is_asked_for_anew_once(plugin):
    connection, environ = plugin()
    with running_api() as api:
        api.tokens = {"token-2"}
        here = replace(connection, server=api.url)
        with open_client(here) as client:
            client.wallet = Wallet(here, environ)
            assert client.send(Request("GET", "/api/v1", "to ask"))["kind"] == "APIResourceList"
            assert client.listed("/api/v1/namespaces/models/pods", what="to list")[0] == []
            api.tokens = {"never"}
            with pytest.raises(KubernetesRefused, match="does not accept the credentials of u"):
                client.listed("/api/v1/namespaces/models/pods", what="to list")


def test_a_plugin_s_certificate_is_shown(plugin):
    certificate, key = Authority().issue("ada")
    connection, environ = plugin(f"{{'clientCertificateData': {certificate!r}, 'clientKeyData': {key!r}}}")
    found = Wallet(connection, environ).credentials()
    assert found.certificate == certificate
    tls_context(connection, found)


@pytest.mark.parametrize(
    ("more", "sentence", "fix"),
    [
        ({"command": "no-such-plugin", "installHint": "brew install\nno-such-plugin."},
         "The plugin 'no-such-plugin', which the kubeconfig asks for credentials, is not installed",
         "brew install no-such-plugin"),
        ({"text": "import sys\nsys.exit('it has ended')"}, "gives no credentials: it has ended", "log in anew"),
        ({"text": "print('not json')"}, "says what are no credentials", "run it by hand"),
        ({"status": "{}"}, "gives no credentials", "log in anew"),
        ({"status": "{'clientCertificateData': 'x'}"}, "gives no credentials", "log in anew"),
        ({"said": "client.authentication.k8s.io/v1beta1"}, "speaks another version", "up to date"),
        ({"text": "print('x' * 3_000_000)"}, "cannot be run", "install"),
    ],
)  # fmt: skip
def test_a_plugin_that_gives_nothing_is_told_in_one_sentence(plugin, more, sentence, fix):
    connection, environ = plugin(**more)
    with pytest.raises(ConfigError) as caught:
        Wallet(connection, environ).credentials()
    assert sentence in caught.value.message
    assert fix in caught.value.hint


def test_the_arguments_of_a_plugin_are_not_shown(plugin):
    connection, environ = plugin(text="import sys\nsys.exit(1)", args=["get-token", "--oidc-client-secret=hush"])
    with pytest.raises(ConfigError) as caught:
        Wallet(connection, environ).credentials()
    assert "hush" not in caught.value.message + caught.value.hint
    assert "run it by hand" in caught.value.hint


# -- certificates --------------------------------------------------------------------------------------------------


def test_the_end_of_a_certificate_is_read_from_its_bytes():
    from cryptography import x509

    authority = Authority()
    for ended in (False, True):
        certificate, _ = authority.issue("ada", "team", ended=ended)
        assert (
            not_after(f"some text\n{certificate}")
            == x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
        )
    assert not_after(pem(authority.certificate)) is not None


@given(st.binary(max_size=200))
def test_no_bytes_are_read_as_a_certificate_with_an_error(content):
    text = base64.encodebytes(content).decode()
    not_after(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")


def test_a_key_of_another_certificate_is_refused_before_anybody_is_asked():
    authority = Authority()
    certificate, _ = authority.issue("ada")
    _, key = authority.issue("bob")
    from aweigh.secret import Secret

    user = User("ada", certificate=certificate, key=Secret(key))
    connection = Connection(SERVER, user, authority=pem(authority.certificate))
    with pytest.raises(ConfigError, match="do not belong together"):
        tls_context(connection, Wallet(connection).credentials())
    with pytest.raises(ConfigError, match="authority is no certificate"):
        tls_context(replace(connection, authority="no"), Wallet(connection).credentials())


def test_nothing_secret_is_printed(write):
    found = find_connection(write(config({"token": "hush"})))
    assert "hush" not in repr(found)
    assert "hush" not in json.dumps(str(found))
