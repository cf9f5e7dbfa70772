"""The bytes of a pickle as a tape that is read forward: numbers, lines and blocks, within the file and its frames."""

import pickle
import struct
from codecs import escape_decode
from collections.abc import Callable

from aweigh.models.scan.limits import Refused

# Python itself refuses to read longer decimal numbers; a model holds none.
LONGEST_NUMBER_BYTES = 4096


class Tape:
    """A position in ``data`` that only moves forward."""

    __slots__ = ("data", "frame_end", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.frame_end: int | None = None

    @property
    def remaining(self) -> int:
        """Bytes between here and the end of the file."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        start = self.position
        if count < 0 or count > len(self.data) - start:
            raise Refused("it is cut short")
        self.position = start + count
        return self.data[start : self.position]

    def skip(self, count: int) -> None:
        """Step over ``count`` bytes."""
        if count > len(self.data) - self.position:
            raise Refused("it is cut short")
        self.position += count

    def number(self, width: int, *, signed: bool = False) -> int:
        """A little-endian integer of ``width`` bytes."""
        return int.from_bytes(self.take(width), "little", signed=signed)

    def line(self) -> bytes:
        """The bytes up to the next newline, which is left out."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Refused("it is cut short")
        start, self.position = self.position, end + 1
        return self.data[start:end]

    def enter_frame(self) -> None:
        """Read a frame's length; frames lie one after another and never overlap."""
        length = self.number(8)
        if self.frame_end is not None or length > self.remaining:
            raise Refused("its frames overlap or are cut short")
        if length:
            self.frame_end = self.position + length

    def leave_frame(self) -> None:
        """Called after each opcode: notice the end of the frame, refuse what reaches over it."""
        if self.frame_end is not None and self.position >= self.frame_end:
            if self.position > self.frame_end:
                raise Refused("an opcode reaches over the end of its frame")
            self.frame_end = None


def _decimal(text: bytes) -> int:
    if len(text) > LONGEST_NUMBER_BYTES:
        raise Refused("it holds a number of more than four thousand digits")
    return int(text.removesuffix(b"L"), 0)


def _integer(tape: Tape) -> int | bool:
    text = tape.line()
    return {b"00": False, b"01": True}[text] if text in {b"00", b"01"} else _decimal(text)


def _long(tape: Tape, width: int) -> int:
    length = tape.number(width, signed=width == 4)
    if length > LONGEST_NUMBER_BYTES:
        raise Refused("it holds a number of more than four thousand bytes")
    return pickle.decode_long(tape.take(length))


def _float(tape: Tape) -> float:
    value: float = struct.unpack(">d", tape.take(8))[0]
    return value


def _quoted(tape: Tape) -> str:
    text = tape.line()
    if len(text) < 2 or text[0] != text[-1] or text[:1] not in {b"'", b'"'}:
        raise Refused("it holds a string without quotes")
    return _old_text(escape_decode(text[1:-1])[0])


def _old_text(value: bytes) -> str:
    """Text as Python 2 wrote it: bytes, which Python 3 takes as ASCII only."""
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("it was written by Python 2, and Python 3 cannot tell its text from its bytes") from None


def _text(tape: Tape, width: int) -> str:
    return tape.take(tape.number(width)).decode("utf-8", "surrogatepass")


# The opcodes that put one constant on the stack, and how it is read.
LITERALS: dict[int, Callable[[Tape], object]] = {
    pickle.NONE[0]: lambda _: None,
    pickle.NEWTRUE[0]: lambda _: True,
    pickle.NEWFALSE[0]: lambda _: False,
    pickle.EMPTY_TUPLE[0]: lambda _: (),
    pickle.EMPTY_LIST[0]: lambda _: [],
    pickle.EMPTY_DICT[0]: lambda _: {},
    pickle.EMPTY_SET[0]: lambda _: set(),
    pickle.INT[0]: _integer,
    pickle.BININT[0]: lambda tape: tape.number(4, signed=True),
    pickle.BININT1[0]: lambda tape: tape.number(1),
    pickle.BININT2[0]: lambda tape: tape.number(2),
    pickle.LONG[0]: lambda tape: _decimal(tape.line()),
    pickle.LONG1[0]: lambda tape: _long(tape, 1),
    pickle.LONG4[0]: lambda tape: _long(tape, 4),
    pickle.FLOAT[0]: lambda tape: float(tape.line()),
    pickle.BINFLOAT[0]: _float,
    pickle.STRING[0]: _quoted,
    pickle.BINSTRING[0]: lambda tape: _old_text(tape.take(tape.number(4, signed=True))),
    pickle.SHORT_BINSTRING[0]: lambda tape: _old_text(tape.take(tape.number(1))),
    pickle.BINBYTES[0]: lambda tape: tape.take(tape.number(4)),
    pickle.SHORT_BINBYTES[0]: lambda tape: tape.take(tape.number(1)),
    pickle.BINBYTES8[0]: lambda tape: tape.take(tape.number(8)),
    pickle.BYTEARRAY8[0]: lambda tape: bytearray(tape.take(tape.number(8))),
    pickle.UNICODE[0]: lambda tape: str(tape.line(), "raw-unicode-escape"),
    pickle.BINUNICODE[0]: lambda tape: _text(tape, 4),
    pickle.SHORT_BINUNICODE[0]: lambda tape: _text(tape, 1),
    pickle.BINUNICODE8[0]: lambda tape: _text(tape, 8),
}

# The opcodes that store the top of the stack under a number, or fetch it from there, and how the number is read.
STORES: dict[int, Callable[[Tape], int]] = {
    pickle.PUT[0]: lambda tape: _decimal(tape.line()),
    pickle.BINPUT[0]: lambda tape: tape.number(1),
    pickle.LONG_BINPUT[0]: lambda tape: tape.number(4),
}
FETCHES: dict[int, Callable[[Tape], int]] = {
    pickle.GET[0]: lambda tape: _decimal(tape.line()),
    pickle.BINGET[0]: lambda tape: tape.number(1),
    pickle.LONG_BINGET[0]: lambda tape: tape.number(4),
}
