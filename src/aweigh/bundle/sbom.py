"""The bill of materials: the model, what it was made from, and every package of the locks, in CycloneDX 1.6 as JSON.

Nothing in it tells when or where it was written, and its serial number is made of its content: the same model and the
same locks give the same bytes. It is written from the locks, and one that says otherwise than they do is refused.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aweigh._version import __version__
from aweigh.bundle.manifest import Family, Runtime, to_json
from aweigh.bundle.names import REQUIREMENTS, REQUIREMENTS_UI
from aweigh.bundle.requirements import Pinned, canonical
from aweigh.errors import DamagedBundle

SPECIFICATION = "1.6"
BUNDLE, MODEL, ORIGINAL = "bundle", "model", "original"
"""What the bundle itself, its model file and the file that came are called within the document (``bom-ref``)."""
_MODEL_KIND = "machine-learning-model"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.6.schema.json")
_SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)
_TASKS = {
    "class": "classification",
    "number": "regression",
    "numbers": "regression",
    "cluster": "clustering",
    "outlier": "outlier detection",
    "transform": "transformation",
}


@dataclass(frozen=True, slots=True)
class Material:
    """What is said of the model: ``words`` of the original, whose file had ``original_sha256`` where it was one.

    ``sha256`` is of the model file in the bundle, ``model_file`` its name there, ``task`` what it answers; ``others``
    are the files beside it, with their sha256: other forms, or the owner's own code.
    """

    name: str
    words: str
    family: Family
    runtime: Runtime
    task: str
    model_file: str
    sha256: str
    others: Mapping[str, str]
    original_sha256: str | None = None
    licence: str | None = None


def write_bill(material: Material, locks: Mapping[str, tuple[Pinned, ...]]) -> bytes:
    """``sbom.cdx.json``; ``locks`` are what each lock file of the bundle pins, by its name."""
    packages = [_package(one, required=required) for one, required in _merged(locks)]
    files = [_file(name, sha256) for name, sha256 in sorted(material.others.items())]
    bundle = {"type": "application", "bom-ref": BUNDLE, "name": material.name}
    return bill_of(bundle, [_model(material), *files, *packages])


def bill_of(made: Mapping[str, Any], components: Sequence[Mapping[str, Any]]) -> bytes:
    """The document of what a thing is made of, all of which it depends on; its serial number is its content's."""
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "aweigh", "version": __version__}]},
            "component": made,
        },
        "components": components,
        "dependencies": [{"ref": made["bom-ref"], "dependsOn": [one["bom-ref"] for one in components]}],
    }
    body["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, to_json(body).decode())}"
    return to_json(body)


def _merged(locks: Mapping[str, tuple[Pinned, ...]]) -> list[tuple[Pinned, bool]]:
    """Every package of the locks once, in order of its name, and whether the API alone needs it."""
    needed = {(one.name, one.version) for one in locks.get(REQUIREMENTS, ())}
    found = {(one.name, one.version): one for packages in locks.values() for one in packages}
    return [(one, key in needed) for key, one in sorted(found.items())]


def _package(one: Pinned, *, required: bool) -> dict[str, Any]:
    """A package; its hashes are those of all its files that the lock allows to be installed."""
    purl = purl_of(one.name, one.version)
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": one.name,
        "version": one.version,
        "purl": purl,
        "scope": "required" if required else "optional",
        "properties": [{"name": "aweigh:lock", "value": REQUIREMENTS if required else REQUIREMENTS_UI}],
    }
    if one.hashes:
        made["hashes"] = [{"alg": "SHA-256", "content": value} for value in sorted(one.hashes)]
    return made


def _file(name: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": name,
        "name": name,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def purl_of(name: str, version: str) -> str:
    """A package's address in the package-url specification: ``pkg:pypi/NAME@VERSION``."""
    return f"pkg:pypi/{canonical(name)}@{quote(version, safe='.-_~')}"


def _model(material: Material) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": _MODEL_KIND,
        "bom-ref": MODEL,
        "name": material.model_file,
        "description": f"{material.words}, served by {material.runtime}",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": material.sha256}],
        "modelCard": {
            "modelParameters": {
                "task": _TASKS[material.task],
                "architectureFamily": material.family,
                "modelArchitecture": material.words,
            }
        },
        "properties": [
            {"name": "aweigh:family", "value": material.family},
            {"name": "aweigh:runtime", "value": material.runtime},
        ],
        "pedigree": {"ancestors": [_original(material)]},
    }
    if material.licence:
        made["licenses"] = [{"license": {"name": material.licence}}]
    return made


def _original(material: Material) -> dict[str, Any]:
    """What the model file was made from: the file that was packed, or the object in memory."""
    came = "the file that was packed" if material.original_sha256 else "an object in memory, not a file"
    made: dict[str, Any] = {
        "type": _MODEL_KIND,
        "bom-ref": ORIGINAL,
        "name": material.words,
        "description": f"{came}, of the family {material.family}",
    }
    if material.original_sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": material.original_sha256}]
    return made


def check_bill(content: bytes, locks: Mapping[str, tuple[Pinned, ...]], *, model_sha256: str) -> None:
    """Refuse a bill of materials that is none, or that says otherwise than the locks and the manifest do.

    Raises:
        DamagedBundle: naming what is wrong.
    """
    try:
        body = json.loads(content)
        listed = {
            (one["name"], one["version"]): {entry["content"] for entry in one.get("hashes", ())}
            for one in body["components"]
            if one["type"] == "library"
        }
        model = {
            entry["content"]
            for one in body["components"]
            if one["type"] == _MODEL_KIND
            for entry in one.get("hashes", ())
        }
        known = body["bomFormat"] == "CycloneDX" and isinstance(body["specVersion"], str)
        known = known and _SERIAL.fullmatch(body["serialNumber"]) is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedBundle("sbom.cdx.json is no bill of materials (CycloneDX).") from error
    if not known:
        raise DamagedBundle("sbom.cdx.json is no bill of materials (CycloneDX).")
    if listed != {(one.name, one.version): set(one.hashes) for one, _ in _merged(locks)}:
        raise DamagedBundle("sbom.cdx.json lists other packages than the locks.")
    if model != {model_sha256}:
        raise DamagedBundle("sbom.cdx.json lists another model than the manifest.")


def told_bill(content: bytes) -> str:
    """A bill of materials in a line: ``CycloneDX 1.6, the model and 58 packages``.

    Raises:
        DamagedBundle: it is none.
    """
    try:
        body = json.loads(content)
        packages = sum(one["type"] == "library" for one in body["components"])
        return f"{body['bomFormat']} {body['specVersion']}, the model and {packages} packages"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedBundle("sbom.cdx.json is no bill of materials (CycloneDX).") from error
