"""What brings gigabytes for graphics cards, told with the way that does without them."""

from collections.abc import Iterable

from aweigh.bundle.requirements import Pinned

_WAYS = {
    "tensorflow": "write tensorflow-cpu instead, the same import",
    "torch": "take the CPU's build: a line --extra-index-url in the requirements, with the address that PyTorch's own"
    " page of installation gives for CPU",
    "xgboost": "write xgboost-cpu instead, the same import",
    "jax": "write jax without [cuda]",
    "cupy-cuda12x": "nothing but a graphics card runs it",
}
_ALWAYS = frozenset({"tensorflow"})
"""Those whose own wheel holds the code for graphics cards."""
_CARDS = ("nvidia-", "cuda-", "cupy-")


def card_notes(packages: Iterable[Pinned]) -> tuple[str, ...]:
    """A sentence for each package of a lock that brings libraries for graphics cards, which no dyno has."""
    versions = {one.name: one.version for one in packages}
    brought = sorted(name for name in versions if name.startswith(_CARDS) or name == "triton")
    notes = []
    for name, way in _WAYS.items():
        if name not in versions or not (brought or name in _ALWAYS):
            continue
        if name == "xgboost" and not any("nccl" in one for one in brought):
            continue
        if name == "torch" and "+cpu" in versions[name]:
            continue
        size = f"{len(brought)} packages for graphics cards, gigabytes" if brought else "code for graphics cards"
        notes.append(f"{name} {versions[name]} brings {size}: {way}")
    return tuple(notes)
