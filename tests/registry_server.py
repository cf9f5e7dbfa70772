"""Debian's docker-registry as a process of the tests: open, by password, by token, over TLS; and token servers."""

import base64
import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

PROGRAM = "docker-registry"
START_S = 20.0

USERNAME, PASSWORD = "anna", 'sesame: "open"'
# bcrypt, which is all that the registry reads.
HTPASSWD = f"{USERNAME}:$2b$04$Pv9iPQjdaO2Buhzy4jtWqeCVxkaFTYyhglL6PZaSirV.0o4qjuS5G\n"


class DockerRegistry:
    """`docker-registry serve` on a port of this machine, which can be killed and started again with what it has."""

    def __init__(self, program: str, folder: Path, **settings: object) -> None:
        self._program = program
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}, "delete": {"enabled": True}},
            **self._settings,
            "http": {"addr": self.host, "secret": "of the tests", **self._settings.get("http", {})},
        }
        (self._folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
        self.log = self._folder / "log.txt"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", str(self._folder / "config.yml")],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            time.sleep(0.02)
        pytest.fail(f"docker-registry does not start: {self.log.read_text()}", pytrace=False)

    def stop(self) -> None:
        """Kill it, as a machine that fails does."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(program: str, folder: Path, **settings: object) -> Iterator[DockerRegistry]:
    """A registry until the block ends; the settings are those of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    found = DockerRegistry(program, folder, **settings)
    try:
        yield found
    finally:
        found.stop()


def with_passwords(folder: Path) -> dict[str, object]:
    """Settings of a registry that asks for a name and a password."""
    path = folder / "htpasswd"
    path.write_text(HTPASSWD)
    return {"auth": {"htpasswd": {"realm": "the, registry", "path": str(path)}}}


def certificate(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key and a certificate of an authority that is this machine at once: `key.pem` and `cert.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    found = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(found.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return key, found


class TokenServer:
    """Who gives tokens for a registry: to `USERNAME` what is asked for, to everybody else nothing but reading.

    `asked` are the requests, each its method, its parameters and its Authorization; `lasts_s` what a token says.
    """

    SERVICE, ISSUER, IDENTITY = "registry, of the tests", "tests", "an identity"

    def __init__(self, folder: Path) -> None:
        self._key, self._certificate = certificate(folder)
        self.bundle = folder / "cert.pem"
        self.asked: list[tuple[str, dict[str, list[str]], str | None]] = []
        self.lasts_s = 300
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.realm = f"http://127.0.0.1:{self.server.server_port}/token?kept=1"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def settings(self) -> dict[str, object]:
        """Settings of a registry that believes this server."""
        token = {"realm": self.realm, "service": self.SERVICE, "issuer": self.ISSUER}
        return {"auth": {"token": {**token, "rootcertbundle": str(self.bundle)}}}

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def token(self, scopes: list[str], *, username: str) -> str:
        """A token for these scopes: all of them for who is known, reading for everybody."""
        access = []
        for one in " ".join(scopes).split():
            kind, name, actions = one.split(":")
            given = [action for action in actions.split(",") if username or action == "pull"]
            if not name.startswith("closed/"):
                access.append({"type": kind, "name": name, "actions": given})
        now = int(time.time())
        claims = {
            "iss": self.ISSUER,
            "sub": username,
            "aud": self.SERVICE,
            "exp": now + self.lasts_s,
            "nbf": now - 30,
            "iat": now - 30,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return jwt.encode({"alg": "ES256", "x5c": chain}, claims, ECKey.import_key(pem))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                """Say nothing."""

            def do_GET(self):
                query = urllib.parse.parse_qs(self.path.partition("?")[2])
                said = self.headers.get("Authorization")
                pair = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
                outer.asked.append(("GET", query, said))
                if said not in (None, f"Basic {pair}"):
                    self.answer(401, {"details": "incorrect username or password"})
                    return
                username = "" if said is None else USERNAME
                self.answer(200, {"token": outer.token(query.get("scope", []), username=username)})

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                outer.asked.append(("POST", form, self.headers.get("Authorization")))
                if form.get("refresh_token") != [outer.IDENTITY] or form.get("grant_type") != ["refresh_token"]:
                    self.answer(401, {"details": "no such identity"})
                    return
                token = outer.token(form.get("scope", []), username=USERNAME)
                self.answer(200, {"access_token": token, "expires_in": outer.lasts_s})

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
