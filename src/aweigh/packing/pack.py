"""``pack``: reads a model and a sample, proves a portable form, locks what serves it, writes the bundle."""

import hashlib
import importlib.metadata
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aweigh import registry
from aweigh._version import __version__
from aweigh.bundle.archive import write_bundle
from aweigh.bundle.build import assemble
from aweigh.bundle.examples import Examples
from aweigh.bundle.keys import PrivateKey
from aweigh.bundle.lock import Lock, lock_serving
from aweigh.bundle.manifest import FORMAT, Manifest, Presentation, Proof, digest_of, short, to_json
from aweigh.bundle.names import MODEL_FOLDER, REQUIREMENTS, REQUIREMENTS_UI, SBOM, SIGNATURE
from aweigh.bundle.sbom import Material, write_bill
from aweigh.config import Config, find_config
from aweigh.errors import ModelError, UsageError
from aweigh.models.family import Described, Form, Way
from aweigh.models.parity import prove
from aweigh.packing.card import card
from aweigh.packing.combination import learn
from aweigh.packing.forms import forms_beside, needed_by
from aweigh.packing.golden import golden
from aweigh.packing.needs import require_packing
from aweigh.packing.original import Asked, ask
from aweigh.packing.personal import (
    KEY_VARIABLE,
    Looked,
    Personal,
    Screen,
    held_by_model,
    personal_columns,
    raw_texts,
    screen_for,
)
from aweigh.packing.place import check_place, place_of
from aweigh.packing.sample import Sample, align, glance, open_sample, within_limits
from aweigh.packing.signing import own_beside, read_key, sign_all
from aweigh.packing.source import Source, open_model
from aweigh.packing.telling import told_domain, told_lock, told_membership, told_proof, told_robustness, told_schema
from aweigh.profile import build_profile
from aweigh.schema.answers import Answers, class_key
from aweigh.schema.check import check_rows
from aweigh.schema.column import Output, Schema
from aweigh.schema.combination import Combinations
from aweigh.schema.policy import Policy
from aweigh.secret.read import read_secret

if TYPE_CHECKING:
    import pandas as pd

    from aweigh.table import Table

Tell = Callable[[str, str], None]
"""Told of each step as it is done: its name and what came of it."""

Watch = Callable[[int, int], None]
"""Told how far an attack is, and of how much; of nothing, when it is about to end."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\Z")
MAX_NAME_CHARACTERS = 63
RUNNING_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MADE_WITH = ("aweigh", "numpy", "onnxruntime", "scikit-learn", "skl2onnx", "skops", "pandas")


@dataclass(frozen=True, slots=True, repr=False)
class Packed:
    """What ``pack`` made: the bundle's place and digest, and what a person wants to know of it.

    It stands for its path wherever a path may: ``aweigh.load(packed)``.
    """

    path: Path
    digest: str
    manifest: Manifest
    schema: Schema
    size_bytes: int
    notes: tuple[str, ...]
    personal: tuple[Personal, ...] = ()
    """The sample's columns that are about people, and what became of them."""
    own: bool = False
    """Whether it bears this user's own signature, so that its code runs here without a policy."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        name, form = self.manifest.name, self.manifest.runtime
        return f"Packed({name!r}, {short(self.digest)!r}, path={str(self.path)!r}, form={form!r})"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller may ask of ``pack`` beyond model and sample."""

    target: str | None = None
    name: str | None = None
    output: Path | None = None
    config: Config | None = None
    python: str = RUNNING_PYTHON
    with_native: bool = False
    allow_pickle: bool = False
    key: PrivateKey | None = None
    own: PrivateKey | None = None
    robustness: bool = False
    holdout: "Path | pd.DataFrame | Table | None" = None
    watch: Watch = lambda _done, _total: None


def pack(  # noqa: PLR0913  the public face: each is a word that people want to say
    model: object,
    sample: "Path | str | pd.DataFrame | Table",
    *,
    target: str | None = None,
    name: str | None = None,
    output: Path | str | None = None,
    config: Config | None = None,
    python: str | None = None,
    with_native: bool = False,
    allow_pickle: bool = False,
    key: "Path | str | PrivateKey | None" = None,
    robustness: bool = False,
    holdout: "Path | str | pd.DataFrame | Table | None" = None,
    tell: Tell = lambda _step, _text: None,
    watch: Watch = lambda _done, _total: None,
) -> Packed:
    """Makes a bundle of a model and a sample of its input, and proves that it answers as the original does.

    ``model`` is a path, ``"module:function"``, or a fitted model in memory. ``sample`` is a path or a DataFrame of rows
    as the model takes them, with or without the ``target`` column. ``output`` is a file, or a folder for
    ``NAME-DIGEST.aweigh`` (default: the working folder). ``python`` is the version to lock for, such as ``"3.12"``.
    ``with_native`` locks the model's own library as well, where its trees are quicker for many rows at once.
    ``allow_pickle`` takes a pickle of listed names where no portable form is proven. ``key`` signs the bundle (an
    encrypted one with ``AWEIGH_KEY_PASSPHRASE``); one that runs your own Python, or whose model is a pickle, is signed
    with your own key as well.
    ``robustness`` attacks the model and writes into its card what came of it; ``watch`` is told how far that is.
    ``holdout`` are rows with the target that the model was not trained on: what the answers tell of who was in the
    training data goes into the card.

    >>> packed = aweigh.pack(pipeline, frame, target="species")  # doctest: +SKIP

    Raises:
        UntrustedModel, UnreadableModel: the file was refused; nothing of it was run.
        MissingExtra: what packing it takes is not installed.
        UnsupportedModel: no family here can serve it.
        ProofFailed: no portable form gives the original's answers.
        DataError, UsageError, ConfigError: sample, call or ``aweigh.toml``.
    """
    wishes = Wishes(
        target=target,
        name=name,
        output=None if output is None else Path(output),
        config=config,
        python=python or RUNNING_PYTHON,
        with_native=with_native,
        allow_pickle=allow_pickle,
        key=read_key(Path(key)) if isinstance(key, str | Path) else key,
        robustness=robustness,
        holdout=Path(holdout) if isinstance(holdout, str) else holdout,
        watch=watch,
    )
    # What costs nothing to know is told before the model is read, and not after minutes of proving.
    check_place(wishes.output)
    data = Path(sample) if isinstance(sample, str) else sample
    glance(data, target=target)
    source = open_model(model, tell=tell, require=partial(require_packing, sample=data))
    if source.family == "python":
        # A key that cannot be had is told now, and not after minutes of proving.
        wishes = replace(wishes, own=own_beside(wishes.key))
    return _pack(source, data, wishes, tell)


def _pack(source: Source, data: "Path | pd.DataFrame | Table", wishes: Wishes, tell: Tell) -> Packed:
    config = wishes.config or (find_config(source.path) if source.path is not None else Config())
    chosen = _name(wishes.name or config.model.name or source.default_name)
    family: Any = registry.family(source.family)
    described: Described = family.describe(source.model)
    tell("read", f"{described.words}{source.told}")
    columns, table = open_sample(data, described=described)
    sample = align(columns, table, described=described, target=wishes.target, config=config)
    held_out = _held_out(wishes, sample, described)
    schema = Schema(columns=sample.columns, output=_output(described.output, sample, config))
    rows, beyond = within_limits(schema, sample.table)
    classes = schema.output.task == "class"
    personal = personal_columns(table, tuple(sample.table.columns), config, target=sample.target, classes=classes)
    screen = screen_for(personal, schema, key=read_secret(os.environ, KEY_VARIABLE))
    asked, screen = _ask(family, source, schema, rows, screen)
    _require_attackable(asked.schema.output.task, wishes)
    personal = tuple(screen.columns.get(one.column, one) for one in personal)
    for one in personal:
        tell("personal", one.told)
    tell("schema", told_schema(asked.schema, rows))
    examples = golden(asked.schema, asked.shown, asked.shown_answers)
    known = learn(asked.schema, rows, golden=check_rows(asked.schema, examples.rows))
    if known is not None:
        tell("domain", told_domain(known))
    discreet = bool(screen.hidden)
    form, proof = prove(_ways(family, source, asked.schema, wishes), asked.trial, discreet=discreet)
    tell("proof", told_proof(form, proof))
    if form.pickle is not None:
        wishes = replace(wishes, own=own_beside(wishes.key))
    forms = forms_beside(form, source.model, asked.schema, asked.trial.table, family=family, locked=wishes.with_native,
                         discreet=discreet)  # fmt: skip
    if forms.reason:
        tell("forms", forms.reason)
    locks = lock_serving(form.runtime, python=wishes.python, more=[*form.requirements, *needed_by(forms)],
                         trust=wishes.key is not None or wishes.own is not None)  # fmt: skip
    tell("lock", told_lock(locks[0], wishes.python))
    manifest = msgspec.structs.replace(
        _manifest(chosen, source, described, form, proof, wishes, config),
        any_threads=forms.any_threads,
        any_parts=forms.any_parts,
        alternatives=forms.alternatives,
        alternatives_reason=forms.reason,
    )
    manifest = _attacked(manifest, form, asked, table, held_out, sample, wishes, tell)
    text = card(manifest, schema=asked.schema, config=config)
    files = _files(asked, form, locks, Facts(examples, known, text)) | forms.files
    material = _material(manifest, source, asked.schema, files, config)
    files[SBOM] = write_bill(material, {REQUIREMENTS: locks[0].packages, REQUIREMENTS_UI: locks[1].packages})
    held = held_by_model(
        raw_texts(screen, rows), [unpacked(name, files[name]) for name in files if name.startswith(MODEL_FOLDER)]
    )
    notes = [*asked.notes, *_notes(sample, beyond, wishes), *_of_people(held), *locks[0].notes]
    packed = _write(files, manifest, asked.schema, wishes, tell, notes=tuple(notes))
    return replace(packed, personal=personal)


def _ask(family: Any, source: Source, schema: Schema, rows: "Table", screen: Screen) -> tuple[Asked, Screen]:
    """Asks the original; what was merely found to be personal is kept where it has no answer without it, and only that.

    Raises:
        ModelError: it has no answer all the same, or not without what the owner wants to be hidden.
    """
    found = screen.found
    try:
        return _ask_screened(family, source, schema, rows, screen), screen
    except ModelError:
        if not found:
            raise
    screen = screen.opened(found)
    asked = _ask_screened(family, source, schema, rows, screen)
    for name in found if len(found) > 1 else ():
        closer = screen.hiding(name)
        with suppress(ModelError):
            asked, screen = _ask_screened(family, source, schema, rows, closer), closer
    return asked, screen


def _ask_screened(family: Any, source: Source, schema: Schema, rows: "Table", screen: Screen) -> Asked:
    marked = screen.schema(schema)

    def predict(some: "Table", asked_schema: Schema) -> Answers:
        answers: Answers = family.predict(source.model, some, asked_schema)
        return answers

    return ask(
        predict,
        marked,
        rows,
        widen=lambda answers: _widened(family, source.model, answers),
        show=partial(screen.rows, marked) if screen.hidden else None,
        probing=screen.probing(schema) if screen.hidden else None,
    )


def _of_people(looked: Mapping[str, Looked]) -> list[str]:
    notes = []
    for name, one in looked.items():
        if one.held:
            notes.append(
                f"{name} is personal, and the model itself holds {one.held:,} of the {one.looked:,} values looked for: "
                "it has learnt them; train it without the column to be rid of them"
            )
        elif one.looked < one.texts:
            notes.append(
                f"{name} is personal, and none of {one.looked:,} of its values is in the model itself; more were not "
                "looked for, since the model is large"
            )
    return notes


def unpacked(name: str, content: bytes) -> bytes:
    """A model's file with what a zip within it holds, so that text in it can be looked for."""
    if not name.endswith(".skops"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"\n".join(archive.read(one) for one in archive.namelist())


def _ways(family: Any, source: Source, schema: Schema, wishes: Wishes) -> Iterator[Way]:
    """The family's own ways, and, when it was asked for, a pickle after all of them."""
    if not wishes.allow_pickle or source.family in {"python", "onnx"}:
        yield from family.ways(source.model, schema)
        return
    from aweigh.models.pickled import pickled_way

    yield from chain(family.ways(source.model, schema), [pickled_way(source.family, source.model, schema)])


def _held_out(wishes: Wishes, sample: Sample, described: Described) -> "Table | None":
    """The held-out rows, if there are any: what is wrong with them is told before the work, and not behind it.

    Raises:
        UsageError: nobody knows the right answers, or the rows lack a column.
        DataError: they cannot be read.
    """
    if wishes.holdout is None:
        return None
    from aweigh.packing.membership import open_held_out

    if sample.target is None:
        raise UsageError("Without --target nobody knows the right answers.", hint="name their column: --target")
    held_out = open_held_out(wishes.holdout, described=described)
    needed = [sample.target, *(column.name for column in sample.columns if not column.nullable)]
    lacking = [name for name in needed if name not in held_out.columns]
    if lacking:
        raise UsageError(f"The held-out rows have no column {lacking[0]!r}.", hint="give rows like the sample's")
    return held_out


def _require_attackable(task: str, wishes: Wishes) -> None:
    """Passes where what was asked for can be told of such a model.

    Raises:
        UsageError: it cannot, which is told before the proof.
    """
    if wishes.robustness and task in {"numbers", "transform"}:
        from aweigh.packing.robustness import not_attackable

        raise not_attackable(task)
    if wishes.holdout is not None and task not in {"class", "number"}:
        raise UsageError(f"--holdout is for models that answer a class or a number, not {task!r}.", hint="leave it out")


def _attacked(  # noqa: PLR0913, PLR0917  what it needs is what pack has by then
    manifest: Manifest,
    form: Form,
    asked: Asked,
    table: "Table",
    held_out: "Table | None",
    sample: Sample,
    wishes: Wishes,
    tell: Tell,
) -> Manifest:
    """The manifest with what attacks on the portable form found, where they were asked for."""
    if wishes.robustness:
        from aweigh.packing.robustness import robustness

        found = robustness(form.predict, asked.schema, asked.table, watch=wishes.watch)
        tell("robust", told_robustness(found))
        manifest = msgspec.structs.replace(manifest, robustness=found)
    if held_out is not None and sample.target is not None:
        from aweigh.packing.membership import membership

        told = membership(form.predict, asked.schema, table, held_out, target=sample.target)
        tell("members", told_membership(told))
        manifest = msgspec.structs.replace(manifest, membership=told)
    return manifest


def _widened(family: Any, model: object, answers: Answers) -> Answers:
    widen = getattr(family, "widen", None)
    if widen is None:
        return answers
    return msgspec.structs.replace(answers, output=widen(model, answers.output, answers))


def _name(wanted: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("-._")
    if not name or len(name) > MAX_NAME_CHARACTERS or not _NAME.match(name):
        raise UsageError(f"{wanted!r} makes no name for a bundle.", hint="give one with --name, such as --name churn")
    return name


def _output(output: Output, sample: Sample, config: Config) -> Output:
    said = config.output
    titles: tuple[str, ...] = ()
    if said.labels:
        keys = [class_key(one) for one in output.classes]
        unknown = sorted(set(said.labels) - set(keys))
        if unknown:
            raise UsageError(
                f"aweigh.toml has a label for {unknown[0]!r}, which is no class of the model.",
                hint=f"its classes are {', '.join(keys)[:200]}",
            )
        titles = tuple(said.labels.get(key, key) for key in keys)
    return msgspec.structs.replace(
        output,
        name=said.name or sample.target or output.name,
        class_titles=titles,
        unit=said.unit,
        description=said.description,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What pack tells of model and sample: golden rows, how columns go together, the card."""

    examples: Examples
    combinations: Combinations | None
    card: str


def _policy(config: Config) -> Policy:
    """What the owner says becomes of rows outside what the model has seen."""
    said = {name: column.domain for name, column in config.columns.items() if column.domain is not None}
    return Policy(columns=config.domain.columns, combination=config.domain.combination, named=said)


def _manifest(
    name: str, source: Source, described: Described, form: Form, proof: Proof, wishes: Wishes, config: Config
) -> Manifest:
    app = config.app
    return Manifest(
        format=FORMAT,
        name=name,
        family=source.family,
        model=described.words,
        runtime=form.runtime,
        runtime_reason=_reason(proof),
        model_file=form.file_name,
        python=wishes.python,
        made_with=_made_with(source.family),
        proof=proof,
        files={},
        graph=form.graph,
        code=form.runtime == "python",
        entry=source.entry,
        model_class=form.model_class,
        pickle=form.pickle,
        domain=_policy(config),
        presentation=Presentation(title=app.title, description=app.description, accent=app.accent, footer=app.footer),
    )


def _reason(proof: Proof) -> str:
    taken = proof.attempts[-1]
    lost = [f"{one.form} lost: {one.reason}" for one in proof.attempts[:-1]]
    return "; ".join([f"{taken.form} agrees with the original", *lost])


def _made_with(family: str) -> dict[str, str]:
    own = {"xgboost": ("xgboost", "xgboost-cpu"), "lightgbm": ("lightgbm",), "catboost": ("catboost",)}.get(family, ())
    versions = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for distribution in (*MADE_WITH, *own):
        try:
            versions[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions["aweigh"] = __version__
    return versions


def _files(asked: Asked, form: Form, locks: tuple[Lock, Lock], facts: Facts) -> dict[str, bytes]:
    return {
        "schema.json": to_json(asked.schema),
        "examples.json": to_json(facts.examples),
        "profile.json": to_json(
            build_profile(asked.schema, asked.table, asked.answers, combinations=facts.combinations)
        ),
        REQUIREMENTS: locks[0].text.encode(),
        REQUIREMENTS_UI: locks[1].text.encode(),
        "card.md": facts.card.encode(),
        form.file_name: form.data,
        **form.extra,
    }


def _material(
    manifest: Manifest, source: Source, schema: Schema, files: Mapping[str, bytes], config: Config
) -> Material:
    """What the bill of materials says of the model."""
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name.startswith(MODEL_FOLDER)
    }
    return Material(
        name=manifest.name,
        words=manifest.model,
        family=manifest.family,
        runtime=manifest.runtime,
        task=schema.output.task,
        model_file=manifest.model_file,
        sha256=digests.pop(manifest.model_file),
        others=digests,
        original_sha256=source.sha256,
        licence=config.model.licence,
    )


def _write(
    files: Mapping[str, bytes],
    manifest: Manifest,
    schema: Schema,
    wishes: Wishes,
    tell: Tell,
    *,
    notes: tuple[str, ...],
) -> Packed:
    whole = assemble(files, manifest)
    digest = digest_of(whole["manifest.json"])
    path = place_of(wishes.output, f"{manifest.name}-{short(digest)}.aweigh")
    by_id = {key.public.keyid: key for key in (wishes.key, wishes.own) if key is not None}
    keys = [*by_id.values()]
    signature = sign_all(manifest.name, digest, keys)
    if signature is not None:
        whole[SIGNATURE] = signature
    for key in keys:
        tell("signed", f"with {'your own key' if key is wishes.own else 'the key'} {key.public.keyid[:12]}")
    write_bundle(whole, path)
    size = path.stat().st_size
    tell("bundle", path.name)
    written = msgspec.json.decode(whole["manifest.json"], type=Manifest)
    return Packed(path, digest, written, schema, size, notes, own=wishes.own is not None)


def _notes(sample: Sample, beyond: int, wishes: Wishes) -> list[str]:
    """What the person who packs should know of the sample."""
    notes = []
    if sample.left_out:
        ask = "" if wishes.target else " (if one of them is what is predicted, name it with --target)"
        notes.append(f"columns of the sample that the model does not take: {', '.join(sample.left_out)}{ask}")
    if beyond:
        notes.append(f"{beyond:,} rows of the sample lie beyond the limits in aweigh.toml and were left out")
    return notes
