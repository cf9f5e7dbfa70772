"""A real kube-apiserver with etcd as its store, an authority of its own, and kubeconfigs for its users."""

import base64
import datetime as dt
import json
import os
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

START_S = 90
BUILT = Path(__file__).parents[2] / ".cache" / "kubernetes" / "bin"
DAY = dt.timedelta(days=1)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip


class Authority:
    """Signs for the server and for its users."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        now = dt.datetime.now(dt.UTC)
        built = self._builder(self.name, self.key.public_key(), now - DAY, now + DAY)
        use = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        built = built.add_extension(x509.BasicConstraints(True, None), critical=True).add_extension(use, critical=True)
        self.certificate = built.sign(self.key, hashes.SHA256())

    def _builder(self, name, key, start, end):
        found = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key)
        return found.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)

    def issue(self, name, *groups, server=False, ended=False):
        """A certificate and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        start, end = (now - 3 * DAY, now - 2 * DAY) if ended else (now - DAY, now + DAY)
        built = self._builder(subject, key.public_key(), start, end)
        use = x509.ExtendedKeyUsageOID.SERVER_AUTH if server else x509.ExtendedKeyUsageOID.CLIENT_AUTH
        built = built.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if server:
            import ipaddress

            names = [x509.DNSName("kubernetes.tests"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return pem(built.sign(self.key, hashes.SHA256())), key_pem(key)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Cluster:
    """The running server: its address, and what opens it."""

    def __init__(self, folder: Path, port: int, store: int, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.store = f"http://127.0.0.1:{store}"
        self.url = f"https://127.0.0.1:{port}"

    @property
    def versions(self):
        """What runs: ``Kubernetes 1.20.2, no nodes``."""
        said = subprocess.run([BUILT / "kube-apiserver", "--version"], capture_output=True, text=True, check=True)
        return f"{said.stdout.strip().replace(' v', ' ')}, no nodes"

    def kubeconfig(self, name, user, *, cluster=None, namespace="models"):
        """Write a kubeconfig; its path."""
        data = base64.b64encode(pem(self.authority.certificate).encode()).decode()
        own = {"server": self.url, "certificate-authority-data": data} | (cluster or {})
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "c", "cluster": own}], "users": [{"name": name, "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "c", "user": name, "namespace": namespace}}],
        }  # fmt: skip
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def certified(self, name, *groups, ended=False):
        """Write a kubeconfig of a user with a certificate; its path."""
        certificate, key = self.authority.issue(name, *groups, ended=ended)
        data = {"client-certificate-data": certificate, "client-key-data": key}
        return self.kubeconfig(name, {k: base64.b64encode(v.encode()).decode() for k, v in data.items()})

    def client(self):
        """An HTTP client of an administrator."""
        certificate, key = self.authority.issue("admin", "system:masters")
        path = self.folder / "admin.pem"
        path.write_text(certificate + key)
        context = ssl.create_default_context(cadata=pem(self.authority.certificate))
        context.load_cert_chain(path)
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=30)


@contextmanager
def running_apiserver(folder: Path):
    """etcd and kube-apiserver, from when it is ready until the end."""
    authority = Authority()
    certificate, key = authority.issue("kube-apiserver", server=True)
    accounts = key_pem(rsa.generate_private_key(65537, 2048))
    for name, text in {
        "ca.crt": pem(authority.certificate), "server.crt": certificate, "server.key": key, "accounts.key": accounts,
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    store, peers, port = free_port(), free_port(), free_port()
    etcd = [
        BUILT / "etcd", "--data-dir", folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{store}",
        "--advertise-client-urls", f"http://127.0.0.1:{store}", "--listen-peer-urls", f"http://127.0.0.1:{peers}",
        "--unsafe-no-fsync", "--log-level", "error",
    ]  # fmt: skip
    apiserver = [
        BUILT / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{store}", f"--secure-port={port}",
        "--bind-address=127.0.0.1", f"--tls-cert-file={folder}/server.crt",
        f"--tls-private-key-file={folder}/server.key", f"--client-ca-file={folder}/ca.crt",
        f"--service-account-key-file={folder}/accounts.key",
        f"--service-account-signing-key-file={folder}/accounts.key", "--service-account-issuer=https://tests",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/24", "--profiling=false",
        # Nobody makes service accounts' tokens here.
        "--disable-admission-plugins=ServiceAccount", f"--cert-dir={folder}", "--watch-cache-sizes=configmaps#0",
    ]  # fmt: skip
    environ = {**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"} if os.uname().machine == "aarch64" else dict(os.environ)
    processes = []
    try:
        for name, words in (("etcd", etcd), ("kube-apiserver", apiserver)):
            with (folder / f"{name}.log").open("wb") as log:
                processes.append(subprocess.Popen(words, stdout=log, stderr=log, env=environ, cwd=folder))
        cluster = Cluster(folder, port, store, authority)
        with cluster.client() as client:
            until = time.monotonic() + START_S
            while time.monotonic() < until:
                with suppress(httpx.HTTPError):
                    if client.get("/readyz").status_code == 200:
                        break
                if processes[-1].poll() is not None:
                    pytest.fail((folder / "kube-apiserver.log").read_text()[-2000:], pytrace=False)
                time.sleep(0.2)
            else:
                pytest.fail((folder / "kube-apiserver.log").read_text()[-2000:], pytrace=False)
            client.post("/api/v1/namespaces", json={"metadata": {"name": "models"}}).raise_for_status()
        yield cluster
    finally:
        for one in reversed(processes):
            one.terminate()
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
