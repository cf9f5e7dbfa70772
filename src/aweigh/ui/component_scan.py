"""Streamlit's look for components of others, whenever it starts: of what a forked process of the app costs the half.

It reads the metadata of every installed package several times over. The generated pages use no such component, and
there is no option that says so: a version that looks in another way does as it likes. Scripts of a user's own may use
one, and there it looks.
"""

SCANS = "scan_component_manifests"
"""What Streamlit calls it, in ``streamlit.components.v2.manifest_scanner``: gives a list of what it has found."""


def look_for_no_components() -> None:
    """From now on Streamlit starts in this process as where no package brings a component."""
    try:
        from streamlit.components.v2 import manifest_scanner
    except ImportError:
        return
    if hasattr(manifest_scanner, SCANS):
        setattr(manifest_scanner, SCANS, _none)


def _none(max_workers: int | None = None) -> list[object]:  # noqa: ARG001  Streamlit's signature
    return []
