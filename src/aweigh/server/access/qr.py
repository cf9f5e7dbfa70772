"""A QR code as an SVG in the page itself, dark on light in both themes: that is what scanners read."""

from aweigh.server.access.markup import Html, joined, tag

QUIET = 4
"""Light modules around the code (ISO/IEC 18004)."""


def qr_svg(text: str, *, label: str) -> Html:
    """The code of a text, with a name for those who do not see it."""
    import segno

    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix]
    size = len(rows) + 2 * QUIET
    path = "".join(
        f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
    )
    return tag(
        "svg",
        joined(tag("rect", width=size, height=size, fill="#fff"), tag("path", d=path, fill="#000")),
        class_="qr",
        viewBox=f"0 0 {size} {size}",
        role="img",
        aria_label=label,
        shape_rendering="crispEdges",
    )
