"""Loading: a verified bundle becomes a predictor. Nothing here takes anything else than a ``VerifiedBundle``."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from aweigh import registry
from aweigh.bundle.examples import Examples
from aweigh.errors import AweighError, DamagedBundle
from aweigh.runtime.forms import AUTO, FASTEST, Candidate, Open, choose, wanted
from aweigh.runtime.predictor import Predictor
from aweigh.schema.check import check_rows
from aweigh.schema.combination import read_combinations
from aweigh.schema.policy import override

if TYPE_CHECKING:
    from aweigh.bundle.manifest import Alternative, Graph, Manifest
    from aweigh.bundle.verify import VerifiedBundle
    from aweigh.models.family import Predict, Sums

T = TypeVar("T")


def load(bundle: "VerifiedBundle", *, threads: int = 1, form: str = AUTO, domain: str = "") -> Predictor:
    """Reads the model and makes it ready to answer, on ``threads`` threads a call where that changes no bit.

    ``form`` says which of the bundle's forms may answer (``forms.wanted``). Where several may, each is measured.
    ``domain`` is what becomes of rows outside what the model has seen, over what the owner said (``schema/policy.py``).

    Raises:
        DamagedBundle: the bundle's own documents contradict each other.
        MissingExtra: the library that this runtime needs is not installed.
        UsageError: the bundle has no such form.
        ConfigError: ``domain`` names no column, or no policy.
    """
    schema, profile_json = bundle.schema, bundle.read("profile.json")
    policy = override(bundle.manifest.domain, domain, schema.names)
    try:
        examples = msgspec.json.decode(bundle.read("examples.json"), type=Examples)
    except msgspec.MsgspecError as error:
        raise DamagedBundle(f"examples.json does not say what it should: {error}.") from error
    usable, idle = _forms(bundle, threads, form)
    answer, forms = choose(usable, idle, lambda: check_rows(schema, examples.rows), pinned=form not in {AUTO, FASTEST})
    return Predictor(
        manifest=bundle.manifest,
        digest=bundle.digest,
        schema=schema,
        examples=examples,
        profile_json=profile_json,
        card=bundle.read("card.md").decode(),
        answer=answer,
        forms=forms,
        signers=bundle.signers,
        policy=policy,
        combinations=read_combinations(profile_json, schema),
    )


def _forms(bundle: "VerifiedBundle", threads: int, form: str) -> tuple[list[Open], list[Candidate]]:
    """The forms that may answer, the first one first, and those that may not."""
    manifest = bundle.manifest
    names, unused = wanted(manifest, form)
    sliced = threads > 1 and not manifest.any_threads and manifest.any_parts
    counts: dict[str, int] = {manifest.runtime: threads if manifest.any_threads or sliced else 1}
    counts |= {one.runtime: threads if one.any_threads else 1 for one in manifest.alternatives}
    makes: dict[str, Callable[[int], Predict]] = {manifest.runtime: partial(_sliced if sliced else _first, bundle)}
    makes |= {one.runtime: partial(_other, bundle, one) for one in manifest.alternatives}
    usable = []
    for name in (name for name in makes if name in names):
        tried = {1, counts[name]} if len(names) > 1 else {counts[name]}
        usable += [Open(Candidate(name, count), partial(makes[name], count)) for count in sorted(tried)]
    return usable, [Candidate(name, counts[name], unused=why) for name, why in unused.items()]


def _sliced(bundle: "VerifiedBundle", threads: int) -> "Predict":
    """The first form where a call on several threads would change bits: several calls on one thread each."""
    if threads == 1:
        return _first(bundle, 1)
    from aweigh.runtime.slices import sliced

    return sliced(_first(bundle, 1), threads=threads)


def _first(bundle: "VerifiedBundle", threads: int) -> "Predict":
    manifest, schema = bundle.manifest, bundle.schema
    data = bundle.read(manifest.model_file)
    if manifest.runtime == "onnx":
        from aweigh.models.onnx import OnnxModel

        return OnnxModel(data, _graph(manifest), schema.output, threads=threads).predict
    if manifest.runtime == "python":
        from aweigh.models.python import load_code

        code: Predict = load_code(bundle.read, bundle.names, manifest.entry or "", schema)
        return code
    if manifest.pickle is not None:
        from aweigh.models.pickled import load_pickled

        return load_pickled(data, manifest.pickle, registry.family(manifest.runtime), schema)
    made: Predict = _native(bundle, manifest.model_file, lambda: registry.family(manifest.runtime).load(
        data, schema, threads=threads, model_class=manifest.model_class
    ))  # fmt: skip
    return made


def _native(bundle: "VerifiedBundle", name: str, make: "Callable[[], T]") -> "T":
    """What a library makes of its own file; what it raises of a damaged one is told in a sentence of ours.

    Raises:
        DamagedBundle: it cannot read the file.
    """
    try:
        return make()
    except AweighError:
        raise
    except Exception as error:  # each library has exceptions of its own, with stacks and paths of its makers in them
        raise DamagedBundle(
            f"The model {name!r} of the bundle {bundle.manifest.name} cannot be read by its library "
            f"({type(error).__name__}).",
            hint="pack the original model again; with --debug the library's own words are shown",
        ) from error


def _other(bundle: "VerifiedBundle", form: "Alternative", threads: int) -> "Predict":
    from aweigh.models.tailed import tailed

    data = bundle.read(form.model_file)
    sums: Sums = _native(bundle, form.model_file, lambda: registry.family(form.runtime).load_sums(
        data, bundle.schema, threads=threads, model_class=form.model_class
    ))  # fmt: skip
    return tailed(sums, bundle.read(form.tail_file), _graph(bundle.manifest), bundle.schema.output)


def _graph(manifest: "Manifest") -> "Graph":
    if manifest.graph is None:
        raise DamagedBundle("The manifest names ONNX as the runtime and does not say how the graph is fed.")
    return manifest.graph
