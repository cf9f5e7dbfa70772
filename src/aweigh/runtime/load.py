"""Loading: a verified bundle becomes a predictor. Nothing here takes anything else than a ``VerifiedBundle``."""

from typing import TYPE_CHECKING

import msgspec

from aweigh import registry
from aweigh.bundle.examples import Examples
from aweigh.errors import DamagedBundle
from aweigh.runtime.predictor import Predictor

if TYPE_CHECKING:
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.models.family import Predict
    from aweigh.schema.column import Schema


def load(bundle: "VerifiedBundle", *, threads: int = 1) -> Predictor:
    """Reads the model and makes it ready to answer, on ``threads`` threads a call.

    Raises:
        DamagedBundle: the bundle's own documents contradict each other.
        MissingExtra: the library that this runtime needs is not installed.
    """
    schema = bundle.schema
    try:
        examples = msgspec.json.decode(bundle.read("examples.json"), type=Examples)
    except msgspec.MsgspecError as error:
        raise DamagedBundle(f"examples.json does not say what it should: {error}.") from error
    return Predictor(
        manifest=bundle.manifest,
        digest=bundle.digest,
        schema=schema,
        examples=examples,
        profile_json=bundle.read("profile.json"),
        card=bundle.read("card.md").decode(),
        answer=_answer(bundle, schema, threads),
    )


def _answer(bundle: "VerifiedBundle", schema: "Schema", threads: int) -> "Predict":
    manifest = bundle.manifest
    data = bundle.read(manifest.model_file)
    if manifest.runtime == "onnx":
        from aweigh.models.onnx import OnnxModel

        if manifest.graph is None:
            raise DamagedBundle("The manifest names ONNX as the runtime and does not say how the graph is fed.")
        return OnnxModel(data, manifest.graph, schema.output, threads=threads).predict
    if manifest.runtime == "python":
        from aweigh.models.python import load_code

        code: Predict = load_code(bundle.read, bundle.names, manifest.entry or "", schema)
        return code
    made: Predict = registry.family(manifest.runtime).load(
        data, schema, threads=threads, model_class=manifest.model_class
    )
    return made
