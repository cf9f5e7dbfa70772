"""What brings gigabytes for graphics cards, told with the way that does without them."""

from collections.abc import Iterable

from aweigh.bundle.requirements import Pinned

_CARDS = ("nvidia-", "cuda-", "cupy-", "triton")
_CPU_TORCH = (
    "for the CPU's build put a line --extra-index-url into the requirements, with the address that PyTorch's own page"
    " of installation gives for CPU"
)


def card_notes(packages: Iterable[Pinned]) -> tuple[str, ...]:
    """A sentence for each package of a lock that brings libraries for graphics cards, which no dyno has.

    >>> card_notes([Pinned("tensorflow", "2.21.0", ())])
    ('tensorflow 2.21.0 holds code for graphics cards: write tensorflow-cpu instead, the same import',)
    """
    versions = {one.name: one.version for one in packages}
    brought = [name for name in versions if name.startswith(_CARDS)]
    notes = []
    if "torch" in versions and brought and "+cpu" not in versions["torch"]:
        notes.append(f"torch {versions['torch']} brings gigabytes for graphics cards: {_CPU_TORCH}")
    if "tensorflow" in versions:
        told = f"tensorflow {versions['tensorflow']} holds code for graphics cards"
        notes.append(f"{told}: write tensorflow-cpu instead, the same import")
    if "xgboost" in versions and any("nccl" in name for name in brought):
        told = f"xgboost {versions['xgboost']} brings some hundred megabytes for graphics cards"
        notes.append(f"{told}: write xgboost-cpu instead, the same import")
    if brought and not notes:
        notes.append(f"{len(brought)} packages are for graphics cards, gigabytes perhaps: {', '.join(brought[:3])}")
    return tuple(notes)
