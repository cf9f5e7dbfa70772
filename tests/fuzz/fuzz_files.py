"""Files that come from somebody else: bundles and what lies in them, signatures, policies, settings, advisories."""

import datetime as dt
import io
import tempfile
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fuzz_bounds import Found, Run

from aweigh.advisories import export
from aweigh.advisories.report import findings
from aweigh.bundle import coherence
from aweigh.bundle.archive import list_archive
from aweigh.bundle.contents import check_content
from aweigh.bundle.examples import load_examples
from aweigh.bundle.keys import PrivateKey, read_public
from aweigh.bundle.names import CARD, EXAMPLES, MANIFEST, PROFILE, REQUIREMENTS, SBOM, SCHEMA
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.bundle.sbom import check_bill, told_bill
from aweigh.bundle.signature import check_signature
from aweigh.bundle.trust import Trust, TrustedKey, read_trust
from aweigh.bundle.verify import open_bundle, verify
from aweigh.config import read_config
from aweigh.errors import BundleError, ConfigError, ModelError, SourceSilent, UntrustedBundle, UsageError
from aweigh.models import onnx_wire, ubjson

KEY = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
"""Whose signature counts. Its private half is here for all to see, and good for nothing else."""
NAME, DIGEST = "penguins", "5f" * 32
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
DOCUMENTS = (MANIFEST, SCHEMA, EXAMPLES, REQUIREMENTS, CARD, PROFILE, SBOM, "key.pub", "model/model.skops")
PACKAGES = (Pinned("numpy", "2.4.6", ()), Pinned("jinja2", "2.4.1+local", ()), Pinned("xgboost-cpu", "3.2.0", ()))


class Spot:
    """A file that is written anew for each input, in a folder of its own."""

    def __init__(self, name: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aweigh-fuzz-")
        self.path = Path(self._folder.name) / name

    def holding(self, data: bytes) -> Path:
        self.path.write_bytes(data)
        return self.path


def envelopes() -> Run:
    """DSSE envelopes of one bundle, before a policy that wants one key's signature."""
    trust = Trust((TrustedKey("ana", KEY.public, code=True),))

    def run(data: bytes) -> None:
        try:
            signers = check_signature(data, name=NAME, digest=DIGEST, has_code=True, trust=trust, now=NOW)
        except BundleError:
            return
        if [one.keyid for one in signers] != [KEY.public.keyid]:
            raise Found(f"it counts as signed by {signers!r}")

    return run


def policies() -> Run:
    """Trust policies."""
    spot = Spot("trust.toml")
    (spot.path.parent / "ana.pub").write_bytes(KEY.public.pem())

    def run(data: bytes) -> None:
        try:
            trust = read_trust(spot.holding(data))
        except (ConfigError, UsageError):
            return
        for one in trust.keys:
            if not one.refusal(NAME, has_code=True, now=NOW) and (one.revoked or not one.code):
                raise Found(f"{one!r} counts")

    return run


def archives() -> Run:
    """Bundles as one file: the headers, the manifest, every byte."""
    spot = Spot("bundle.aweigh")

    def run(data: bytes) -> None:
        path = spot.holding(data)
        try:
            members = list_archive(path)
            if any(one.offset + one.size_bytes > len(data) for one in members.values()):
                raise Found("a file of the archive reaches over its end")
            open_bundle(path)
            verify(path)
        except BundleError:
            return

    return run


def documents() -> Run:
    """What lies in a bundle; the first byte chooses which of its documents it is."""

    def run(data: bytes) -> None:
        name, content = DOCUMENTS[data[0] % len(DOCUMENTS)] if data else MANIFEST, data[1:]
        try:
            if name == "key.pub":
                read_public(content, name=name)
                return
            check_content(name, content)
            if name == MANIFEST:
                coherence.check_manifest(coherence.read_manifest(content))
            elif name == SCHEMA:
                coherence.read_schema(content)
            elif name == EXAMPLES:
                load_examples(content)
            elif name == REQUIREMENTS:
                read_lock(content.decode())
        except (BundleError, UsageError):
            return

    return run


def bills() -> Run:
    """Bills of materials."""
    locks = {REQUIREMENTS: PACKAGES}

    def run(data: bytes) -> None:
        for read in (told_bill, lambda content: check_bill(content, locks, model_sha256=DIGEST)):
            try:
                read(data)
            except BundleError:
                continue

    return run


def settings() -> Run:
    """``aweigh.toml``."""
    spot = Spot("aweigh.toml")

    def run(data: bytes) -> None:
        try:
            read_config(spot.holding(data))
        except ConfigError:
            return

    return run


def advisories() -> Run:
    """Advisories in OSV's schema, and what is found by them; an odd first byte puts them into a zip."""
    plain, packed = Spot("one.json"), Spot("all.zip")

    def run(data: bytes) -> None:
        content = data[1:]
        if data[:1] and data[0] % 2:
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as archive:
                archive.writestr("one.json", content)
            path = packed.holding(out.getvalue())
        else:
            path = (packed if content.startswith(b"PK") else plain).holding(content)
        try:
            told = export.read_export(path, PACKAGES)
        except (SourceSilent, UsageError):
            return
        findings(told, PACKAGES, (), NOW.date())

    return run


def graphs() -> Run:
    """The walks that go before a library's own parser: ONNX's fields, XGBoost's nesting."""

    def run(data: bytes) -> None:
        for read in (onnx_wire.check_wire, lambda content: ubjson.check_nesting(content, "model.ubj")):
            try:
                read(data)
            except ModelError:
                continue

    return run


TARGETS = {
    "dsse": envelopes,
    "policy": policies,
    "archive": archives,
    "documents": documents,
    "sbom": bills,
    "config": settings,
    "osv": advisories,
    "graphs": graphs,
}
assert issubclass(UntrustedBundle, BundleError)
