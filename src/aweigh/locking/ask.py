"""What is asked for: a script, a folder, loose requirements or a model file, read into needs and imports to prove."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aweigh import registry
from aweigh.bundle.lock import serving_requirements
from aweigh.bundle.requirements import canonical
from aweigh.errors import UnreadableModel, UsageError
from aweigh.locking.distributions import CHOSEN, distribution_of, is_standard
from aweigh.locking.imports import Imported, Sources, read_imports
from aweigh.locking.loose import Loose, is_own, read_loose
from aweigh.locking.model import SUFFIXES, ModelNeeds, needs_of_model
from aweigh.locking.need import Need

LOCK, KEPT = "requirements.txt", "requirements.in"
MOST_MODELS = 20
OURS = "aweigh"
# What one package is called with and without a screen, a graphics card or its library.
_VARIANTS = frozenset({"cpu", "gpu", "headless", "contrib", "binary", "intel", "macos"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be locked, and what is to be imported to prove it.

    ``loose`` is the file that holds the needs, None where imports or a model tell them; ``source`` says so for people.
    ``modules`` are to be imported by name; ``distributions`` by whatever modules they bring.
    """

    folder: Path
    kind: Literal["imports", "requirements", "model"]
    source: str
    needs: tuple[Need, ...]
    loose: Path | None = None
    imports: tuple[Imported, ...] = ()
    modules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    from_model: bool = False
    """Whether a model file names an exact version among the needs."""


def read_ask(path: Path) -> Ask:
    """What a path asks for.

    Raises:
        UsageError: there is nothing of the kind, or nothing in it.
        ConfigError: a line of its requirements is none, or one that no lock can hold.
        UnreadableModel: it is no model file that is known here.
        MissingExtra: what reads requirements is not installed.
    """
    registry.require("packaging.requirements", what="locking requirements", extra="pack")
    if not path.exists():
        raise UsageError(f"{path} is not there.", hint="name a script, a folder, a requirements.txt or a model file")
    if path.is_dir():
        return _of_app(path, path)
    if path.suffix == ".py":
        return _of_app(path, path.parent)
    if path.suffix in {".txt", ".in"} and not _is_model_text(path):
        return _of_loose(path, read_loose(_input_of(path)), _input_of(path))
    if path.suffix == ".aweigh":
        raise UsageError(f"{path.name} is a bundle, and holds its lock already.", hint=f"aweigh inspect {path.name}")
    found = needs_of_model(path, own=_own_modules(path.parent))
    return Ask(
        folder=path.parent,
        kind="model",
        source=path.name,
        needs=found.needs,
        modules=found.modules,
        notes=found.notes,
        from_model=any(one.pinned for one in found.needs),
    )


def _is_model_text(path: Path) -> bool:
    """LightGBM's models are text files, and are named so."""
    with path.open("rb") as stream:
        return stream.read(5) == b"tree\n"


def _input_of(path: Path) -> Path:
    """What a lock of ours was made from, where it is named in place of it."""
    kept = path.with_name(KEPT)
    if path.name == LOCK and is_own(path) and kept.is_file():
        return kept
    return path


def _of_app(path: Path, folder: Path) -> Ask:
    """A script or a folder: its requirements if it has such, else what it imports and its models need."""
    sources, models = _sources(path), _models(folder)
    loose = _loose_of(folder)
    if loose is not None:
        ask = _of_loose(folder, read_loose(loose), loose)
        if not sources.imports:
            return ask
        modules, notes = _to_prove(sources, models), [*ask.notes, *_unread(sources), *_disagreements(ask.needs, models)]
        return Ask(
            folder=folder, kind="requirements", source=ask.source, needs=ask.needs, loose=loose,
            imports=sources.imports, modules=modules, notes=tuple(notes), constraints=ask.constraints,
            variables=ask.variables,
        )  # fmt: skip
    needs, notes = _needs_of(sources.imports)
    from_models = {need.name: need for model in models for need in model.needs}
    merged = {need.name: need for need in needs}
    for name, need in from_models.items():
        if name not in merged or need.requirement != need.name:
            merged[name] = need
    if not merged:
        raise UsageError(f"{path} imports nothing that is to be installed.", hint="there is nothing to lock")
    told = [*notes, *_unread(sources), *(note for model in models for note in model.notes)]
    few = ", ".join(sources.files[:3]) + (f" and {len(sources.files) - 3} more" if len(sources.files) > 3 else "")
    plain, more = without_ours(tuple(merged[name] for name in sorted(merged)))
    return Ask(
        folder=folder, kind="imports", source=f"the imports of {few}", needs=plain, imports=sources.imports,
        modules=_to_prove(sources, models), notes=(*told, *more),
        from_model=any(need.pinned for need in from_models.values()),
    )  # fmt: skip


def _sources(path: Path) -> Sources:
    """A folder with requirements or a model alone may hold no Python file."""
    try:
        return read_imports(path)
    except UsageError:
        if path.is_dir() and (_loose_of(path) is not None or _models(path)):
            return Sources((), ())
        raise


def _loose_of(folder: Path) -> Path | None:
    """The requirements that a person wrote; a lock of ours is none."""
    lock, kept = folder / LOCK, folder / KEPT
    if lock.is_file() and not is_own(lock):
        return lock
    return kept if kept.is_file() else None


def _of_loose(path: Path, loose: Loose, file: Path) -> Ask:
    if not loose.needs:
        raise UsageError(f"{file.name} asks for nothing.", hint="write a package on a line of it")
    needs, notes = without_ours(loose.needs)
    return Ask(
        folder=path if path.is_dir() else path.parent,
        kind="requirements",
        source=file.name,
        needs=needs,
        loose=file,
        distributions=tuple(sorted({need.name for need in needs})),
        notes=(*loose.notes, *notes),
        constraints=loose.constraints,
        variables=loose.variables,
    )


def without_ours(needs: tuple[Need, ...]) -> tuple[tuple[Need, ...], tuple[str, ...]]:
    """The needs with what aweigh needs in place of aweigh, which is on no index; and a note that says so."""
    ours = [need for need in needs if need.name == OURS]
    if not ours:
        return needs, ()
    others = {need.name: need for need in needs if need.name != OURS}
    for text in serving_requirements("onnx", ui=True):
        need = Need(text, ours[0].origin, "for aweigh")
        others.setdefault(need.name, need)
    note = f"{ours[0].origin}: aweigh itself is on no index; what it needs was taken, and its wheel is to travel along"
    return tuple(others.values()), (note,)


# -- imports ----------------------------------------------------------------------------------------------------------


def _needs_of(imports: Iterable[Imported]) -> tuple[list[Need], list[str]]:
    """A need for each distribution; what is optional and only guessed at is left out, and told."""
    found: dict[str, Need] = {}
    notes = []
    for one in sorted(imports, key=lambda one: (one.file, one.line)):
        if is_standard(one.top):
            continue
        distribution = distribution_of(one.module)
        if one.optional and distribution.found == "guess":
            notes.append(f"{one.where} imports {one.top} only where it is there: left out")
            continue
        plain = distribution.name.partition("[")[0]
        note = "guessed from its name" if distribution.found == "guess" else CHOSEN.get(plain, "")
        found.setdefault(canonical(plain), Need(distribution.name, one.where, note))
    return list(found.values()), notes


def _to_prove(sources: Sources, models: Iterable[ModelNeeds]) -> tuple[str, ...]:
    """Every module that is imported without a condition, with Python's own: some Pythons have lost some of them."""
    named = {one.module for one in sources.imports if not one.optional and one.top not in {OURS, "__main__"}}
    return tuple(sorted(named.union(*(model.modules for model in models))))


def _unread(sources: Sources) -> list[str]:
    return [f"not read: {one}" for one in sources.unread]


def lacking(ask: Ask, locked: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each import that a lock of the requirements does not bring."""
    if ask.kind != "requirements":
        return ()
    there = {_plain(name) for name in locked}
    found: dict[str, str] = {}
    for one in sorted(ask.imports, key=lambda one: (one.file, one.line)):
        name = distribution_of(one.module).name.partition("[")[0]
        if one.optional or is_standard(one.top) or one.top == OURS or {_plain(name), canonical(one.top)} & there:
            continue
        found.setdefault(name, f"{one.where} imports {one.top}, which {ask.source} lacks: add {name} to it")
    return tuple(found.values())


def _plain(name: str) -> str:
    """A name without the words that tell variants of one package apart: ``opencv-python`` of its headless form."""
    return "-".join(word for word in canonical(name).split("-") if word not in _VARIANTS)


# -- models beside a script -------------------------------------------------------------------------------------------


def _models(folder: Path) -> list[ModelNeeds]:
    """What the model files beside a script need, where they can be read as such."""
    places = (folder, folder / "model", folder / "models", folder / "artifacts")
    files = [file for place in places if place.is_dir() for file in sorted(place.iterdir())]
    found = []
    for file in [one for one in files if one.suffix in SUFFIXES and one.is_file()][:MOST_MODELS]:
        try:
            found.append(needs_of_model(file, own=_own_modules(folder)))
        except UnreadableModel:
            continue
    return found


def _own_modules(folder: Path) -> frozenset[str]:
    entries = list(folder.iterdir())
    packages = (one.name for one in entries if one.is_dir() and next(one.glob("*.py"), None) is not None)
    return frozenset(one.stem for one in entries if one.suffix == ".py") | frozenset(packages)


def _disagreements(needs: Iterable[Need], models: Iterable[ModelNeeds]) -> list[str]:
    """Where requirements pin another version than a model file was made with."""
    pins = {_plain(need.name): need for need in needs}
    notes = []
    for model in models:
        for said in model.needs:
            need = pins.get(_plain(said.name))
            if need is not None and need.pinned and said.pinned and need.pinned != said.pinned:
                notes.append(
                    f"{said.origin} was made with {said.name} {said.pinned}, and {need.origin} takes {need.pinned}"
                )
    return notes
