"""Whether a UBJSON or JSON file fits together and is not nested deeper than any model is, before a library parses it.

XGBoost's own parsers go down by recursion without end: a file of a hundred thousand brackets ends the process.
"""

from aweigh.errors import UnreadableModel

MAX_DEPTH = 256
_SIZES = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1, b"Z": 0, b"N": 0, b"T": 0, b"F": 0}
_WHOLE = frozenset((b"i", b"U", b"I", b"l", b"L"))
_UNSIGNED = b"U"
_WIDEST = 8


def check_nesting(data: bytes, file: str) -> None:
    """Refuse what is nested deeper than a model, cut short, or longer by its own word than it is.

    Raises:
        UnreadableModel: so it is.
    """
    try:
        if data[1:2].strip() in {b'"', b"}", b""}:
            _check_json(data)
        else:
            _Walk(data).run()
    except (ValueError, IndexError, RecursionError) as error:
        raise UnreadableModel(
            f"XGBoost cannot read {file}: it does not fit together, or is nested deeper than any model.",
            hint="save it again with model.save_model('model.ubj')",
        ) from error


def _check_json(data: bytes) -> None:
    """No more brackets are open at once than a model needs; what stands in quotes is none."""
    import msgspec

    msgspec.json.decode(data, type=msgspec.Raw)
    depth = 0
    for position, part in enumerate(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')):
        if position % 2:
            continue
        if b"[" not in part and b"{" not in part and b"]" not in part and b"}" not in part:
            continue
        for one in part:
            if one in b"[{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError
            elif one in b"]}":
                depth -= 1


class _Walk:
    """A position in UBJSON that moves forward, with the containers that are open there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        # Of each open container: whether it has keys, how many values are to come (None: up to its end), their type.
        self.open: list[tuple[bool, int | None, bytes | None]] = []

    def run(self) -> None:
        """One value, to the last byte.

        Raises:
            ValueError, IndexError: it does not fit together.
        """
        self._value(self._take(1))
        while self.open:
            keyed, left, kind = self.open.pop()
            if left == 0:
                continue
            if left is None and self.data[self.at : self.at + 1] == (b"}" if keyed else b"]"):
                self.at += 1
                continue
            self.open.append((keyed, None if left is None else left - 1, kind))
            if len(self.open) > MAX_DEPTH:
                raise ValueError
            if keyed:
                self._take(self._whole(self._take(1)))
            self._value(kind or self._marker())
        if self.at != len(self.data):
            raise ValueError

    def _marker(self) -> bytes:
        found = self._take(1)
        return found if found != b"N" else self._marker_after_nothing()

    def _marker_after_nothing(self) -> bytes:
        """UBJSON's no-op stands for nothing: as many of them as there are."""
        while (found := self._take(1)) == b"N":
            pass
        return found

    def _value(self, marker: bytes) -> None:
        if marker in _SIZES:
            self._take(_SIZES[marker])
        elif marker in {b"S", b"H"}:
            self._take(self._whole(self._take(1)))
        elif marker in {b"[", b"{"}:
            self._container(keyed=marker == b"{")
        else:
            raise ValueError

    def _container(self, *, keyed: bool) -> None:
        kind, count = None, None
        if self.data[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self._take(1)
        if self.data[self.at : self.at + 1] == b"#":
            self.at += 1
            count = self._whole(self._take(1))
        if kind is not None and count is None:
            raise ValueError
        if not keyed and kind in _SIZES and count is not None:
            if not _SIZES[kind]:
                raise ValueError  # values of no size, of which there could be any number
            self._take(count * _SIZES[kind])
        else:
            self.open.append((keyed, count, kind))

    def _whole(self, marker: bytes) -> int:
        if marker not in _WHOLE:
            raise ValueError
        found = int.from_bytes(self._take(_SIZES[marker]), "big", signed=marker != _UNSIGNED)
        if found < 0:
            raise ValueError
        return found

    def _take(self, count: int) -> bytes:
        """The next bytes, none of which may lie behind the end."""
        if count > len(self.data) - self.at:
            raise ValueError
        found = self.data[self.at : self.at + count] if count <= _WIDEST else b""
        self.at += count
        return found
