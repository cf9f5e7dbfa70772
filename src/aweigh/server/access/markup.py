"""HTML that is built, not pasted: what is no ``Html`` is text, and text is escaped, in content and in attributes."""

import html
from collections.abc import Iterable

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """A piece of HTML made here. Joined with a plain ``str`` by ``+`` or formatting it is plain text again."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
"""Text (escaped), ``Html`` (as it is), a number, nothing, or several of them."""


def joined(*children: Child) -> Html:
    """The children, one after the other."""
    return Html("".join(_of(child) for child in children))


def tag(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element. Underscores are dashes (``aria_label``) and fall off at the end (``class_``); True is a bare name.

    >>> tag("a", "1 < 2", href="/?a=1&b=2")
    '<a href="/?a=1&amp;b=2">1 &lt; 2</a>'
    """
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        written.append(attribute if value is True else f'{attribute}="{html.escape(str(value), quote=True)}"')
    start = f"<{' '.join(written)}>"
    return Html(start) if name in VOID else Html(f"{start}{joined(*children)}</{name}>")


def _of(child: Child) -> str:
    if isinstance(child, Html):
        return str(child)
    if child is None:
        return ""
    if isinstance(child, str | int):
        return html.escape(str(child), quote=True)
    return joined(*child)
