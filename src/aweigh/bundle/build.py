"""From the parts of a bundle to its files: the manifest gets the sha256 and the size of each.

What would not be read again is not written, nor is what holds a secret: a bundle is made to be given away.
"""

import hashlib
import os
from collections.abc import Mapping

import msgspec

from aweigh.bundle.coherence import check_documents, check_graph, check_manifest
from aweigh.bundle.contents import bytes_to_check, check_content
from aweigh.bundle.manifest import FORMAT, FileEntry, Manifest, to_json
from aweigh.bundle.names import MANIFEST, OPTIONAL, REQUIRED, check_names
from aweigh.bundle.secrets import refuse_secrets


def assemble(files: Mapping[str, bytes], manifest: Manifest) -> dict[str, bytes]:
    """All files of a bundle: the given ones, and ``manifest.json`` that names them.

    ``manifest`` comes with no files; its format is set to the one that is written now.

    Raises:
        DamagedBundle: the parts do not fit together; ``verify`` would refuse them in the same words.
        HoldsSecret: a text among them holds a password, a key or a token.
    """
    check_names([*files, MANIFEST])
    entries = {
        name: FileEntry(sha256=hashlib.sha256(files[name]).hexdigest(), size_bytes=len(files[name]))
        for name in sorted(files)
    }
    manifest = msgspec.structs.replace(manifest, format=FORMAT, files=entries)
    check_manifest(manifest)
    for name, content in files.items():
        check_content(name, content[: bytes_to_check(name, len(content))])
    documents = {name: files[name] for name in REQUIRED | OPTIONAL if name in files}
    check_graph(manifest, check_documents(documents, manifest))
    whole = {**files, MANIFEST: to_json(manifest)}
    refuse_secrets(whole, environ=os.environ)
    return whole
