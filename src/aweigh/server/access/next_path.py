"""Where to go after sign-in: a path of this site, or the start page. Never another site, whatever the address says."""

from urllib.parse import quote, unquote, urlsplit

START = "/"
MOST_CHARACTERS = 2048
_NOT_AFTER_SIGN_IN = frozenset({"login", "logout", "invite", "oauth"})
_KEPT = "/?&=%:@!$'()*+,;~-._[]"


def next_path(asked: str | None) -> str:
    r"""The path as it can stand in ``Location``, or ``/`` where it is none of this site's.

    Browsers read ``//host`` and ``/\host`` as another site and drop tabs and line ends before they look; a proxy may
    decode once more. So none of that is taken, at any depth of encoding.
    """
    if not asked or len(asked) > MOST_CHARACTERS:
        return START
    plain = asked
    for _ in range(4):
        if not _is_path(plain):
            return START
        decoded = unquote(plain, errors="replace")
        if decoded == plain:
            break
        plain = decoded
    else:
        return START  # encoded again and again: nobody who means well
    if plain.split("?")[0].split("#")[0].strip("/").split("/")[0] in _NOT_AFTER_SIGN_IN:
        return START
    return quote(asked, safe=_KEPT)


def _is_path(text: str) -> bool:
    if not text.startswith("/") or text.startswith("//") or "\\" in text:
        return False
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and "//" not in parts.path
