"""The pickle machine: one reading of the opcodes, whether nothing comes of it (`Inert`) or a model does (`Real`).

What it refuses beyond unlisted names is what no pickler writes for a model: names and callables that are made at run
time, changes to imported objects, persistent ids, extension codes, buffers from elsewhere, frames that overlap, bytes
after the end. joblib's arrays, whose raw bytes interrupt the opcodes, are stepped over or taken in.
"""

import math
import pickle
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aweigh.models.scan.limits import DEFAULT, Limits, Refused
from aweigh.models.scan.rules import RULES, STATE_RULES, key_fault
from aweigh.models.scan.tape import FETCHES, LITERALS, STORES, Tape
from aweigh.models.scan.worlds import WRAPPER_NAME, ArrayWrapper, Inert, Real

UNUSUAL_ARRAYS = "it uses joblib's arrays in an unusual way"
RENAMED_FROM = 3  # protocols below it were Python 2's, and their names are translated


@dataclass(slots=True)
class Findings:
    """What reading has found so far."""

    names: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    problem: str | None = None
    protocol: int = 0
    opcodes: int = 0


def full_name(module: str, qualname: str, protocol: int) -> tuple[str, str, str]:
    """Module, qualified name, and both in one as they are shown and listed.

    A qualified name with dots walks through attributes: it is written after a colon, so that it equals no listed name.
    What is not printable is escaped.
    """
    if protocol < RENAMED_FROM:
        if (module, qualname) in NAME_MAPPING:
            module, qualname = NAME_MAPPING[module, qualname]
        elif module in IMPORT_MAPPING:
            module = IMPORT_MAPPING[module]
    full = f"{module}:{qualname}" if "." in qualname or ":" in module else f"{module}.{qualname}"
    return module, qualname, full if full.isprintable() else full.encode("unicode_escape").decode()


class Machine:
    """Reads one pickle from a tape; `run` returns what it holds, as the world has it."""

    def __init__(
        self, tape: Tape, world: Inert | Real, findings: Findings, *, limits: Limits = DEFAULT, in_array: bool = False
    ) -> None:
        self.tape = tape
        self.world = world
        self.found = findings
        self.limits = limits
        self.in_array = in_array
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.protocol = 0
        # How many references to joblib's array wrapper have been handed out, less those that became arrays.
        self.loose_wrappers = 0

    def run(self) -> Any:
        """Read up to STOP.

        Raises:
            Refused: The bytes are no pickle that is read here; in the real world also for all that is only noted in
                the inert one.
        """
        try:
            return self._run()
        except (IndexError, KeyError):
            if self.world.strict:
                raise
            raise Refused("its opcodes do not fit together") from None
        except RecursionError:
            if self.world.strict:
                raise
            raise Refused("what it describes is nested too deeply") from None
        except (ValueError, TypeError, AttributeError) as error:
            if self.world.strict:
                raise
            raise Refused(f"its opcodes do not fit together ({error})") from error

    def _run(self) -> Any:
        tape, limits, found = self.tape, self.limits, self.found
        while True:
            found.opcodes += 1
            if found.opcodes > limits.opcodes or len(self.marks) > limits.depth:
                raise Refused("reading it takes more steps than any model needs")
            opcode = tape.number(1)
            if opcode in LITERALS:
                self.stack.append(LITERALS[opcode](tape))
            elif opcode in STORES:
                self.memo[STORES[opcode](tape)] = self.stack[-1]
            elif opcode in FETCHES:
                self.again(self.memo[FETCHES[opcode](tape)])
            elif opcode == pickle.STOP[0]:
                break
            elif opcode in _STEPS:
                _STEPS[opcode](self)
            else:
                raise Refused(f"byte {tape.position - 1} is no opcode of a pickle")
            if tape.frame_end is not None:
                tape.leave_frame()
        value = self.stack.pop()
        if self.loose_wrappers:
            self._note(UNUSUAL_ARRAYS)
        tape.leave_frame()
        if tape.frame_end is not None:
            raise Refused("it ends before its frame does")
        return value

    def _note(self, problem: str) -> None:
        """Keep the first problem and read on, so that all names are seen; in the real world, stop."""
        if self.world.strict:
            raise Refused(problem)
        self.found.problem = self.found.problem or problem

    # Marks, the memo, and containers

    def mark(self) -> None:
        """MARK: begin a stack of its own."""
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """What was put on the stack since the last mark, which is taken away."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def push(self, value: Any) -> None:
        """For what is made of the items since the mark: by then the stack is the one below it."""
        self.stack.append(value)

    def pop(self) -> None:
        """POP: drop the top, or the mark when nothing lies on it."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def pop_mark(self) -> None:
        """POP_MARK: drop all since the mark."""
        self.since_mark()

    def memoize(self) -> None:
        """MEMOIZE: keep the top under the next number."""
        self.memo[len(self.memo)] = self.stack[-1]

    def again(self, value: Any) -> None:
        """Put a value on the stack that is elsewhere already."""
        if value is ArrayWrapper:
            self.loose_wrappers += 1
        elif isinstance(value, ArrayWrapper) or (type(value) is tuple and any(item is ArrayWrapper for item in value)):
            self._note(UNUSUAL_ARRAYS)
        self.stack.append(value)

    def tuple_of(self, count: int) -> None:
        """TUPLE1 to TUPLE3."""
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError
        self.stack[-count:] = [items]

    def _key(self, key: Any) -> Any:
        fault = key_fault(key)
        if fault:
            raise Refused(fault)
        return key

    def frozen(self) -> None:
        """FROZENSET."""
        self.push(frozenset(self._key(item) for item in self.since_mark()))

    def dictionary(self) -> None:
        """DICT: keys and values since the mark."""
        items = self.since_mark()
        self.stack.append({})
        self.fill_dict(items)

    def append(self, items: list[Any]) -> None:
        """APPEND and APPENDS."""
        target = self.world.fill(self.stack[-1], list)
        if target is not None:
            target.extend(items)

    def add(self) -> None:
        """ADDITEMS: into a set."""
        items = [self._key(item) for item in self.since_mark()]
        target = self.world.fill(self.stack[-1], set)
        if target is not None:
            target.update(items)

    def set_item(self) -> None:
        """SETITEM: one key and its value."""
        value = self.stack.pop()
        key = self.stack.pop()
        self.fill_dict([key, value])

    def fill_dict(self, items: list[Any]) -> None:
        """SETITEMS: keys and values in turn."""
        target = self.world.fill(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if target is not None:
                target[self._key(key)] = value

    # Imports and what is done with them

    def _find(self, module: str, qualname: str) -> None:
        module, qualname, full = full_name(module, qualname, self.protocol)
        self.found.names.add(full)
        if full == WRAPPER_NAME:
            self.loose_wrappers += 1
        self.stack.append(self.world.find(module, qualname, full))

    def import_lines(self) -> None:
        """GLOBAL: module and name in two lines."""
        module = self.tape.line().decode()
        self._find(module, self.tape.line().decode())

    def import_stack(self) -> None:
        """STACK_GLOBAL: module and name from the stack, where both must be text of the file itself."""
        qualname = self.stack.pop()
        module = self.stack.pop()
        if type(module) is str and type(qualname) is str:
            self._find(module, qualname)
        else:
            self._note("it makes up the name of an import at run time")
            self.stack.append(self.world.nothing())

    def _call(self, function: Any, args: Any) -> Any:
        name = self.world.name_of(function)
        if name is None:
            self._note("it calls what it has made at run time")
            return self.world.nothing()
        if type(args) is not tuple:
            self._note(f"it calls {name} with something other than arguments")
            args = ()
        self.found.calls.add(name)
        # Protocols 0 and 1 make joblib's wrapper by this call; that it takes part is seen to here, not by joblib.
        if name == "copyreg._reconstructor" and args[0] is ArrayWrapper and self.world.name_of(args[1]) == _OBJECT:
            return ArrayWrapper()
        fault = RULES[name](args, self.world.name_of) if name in RULES else None
        if fault:
            self._note(fault)
        return self.world.call(function, args)

    def reduce(self) -> None:
        """REDUCE: call what lies under the arguments."""
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def instance(self) -> None:
        """INST: the class by its name, then its arguments since the mark."""
        args = self.since_mark()
        self.import_lines()
        self.stack.append(self._call(self.stack.pop(), tuple(args)))

    def object(self) -> None:
        """OBJ: the class is the first since the mark, its arguments follow."""
        cls, *args = self.since_mark()
        self.stack.append(self._call(cls, tuple(args)))

    def new(self, *, with_keywords: bool) -> None:
        """NEWOBJ and NEWOBJ_EX: an instance by `__new__`."""
        kwargs = self.stack.pop() if with_keywords else {}
        args = self.stack.pop()
        cls = self.stack.pop()
        if cls is ArrayWrapper and args == () and not kwargs:
            self.stack.append(ArrayWrapper())
            return
        name = self.world.name_of(cls)
        if name is None or type(args) is not tuple or type(kwargs) is not dict:
            self._note("it makes an instance of what is no class")
            args, kwargs = (), {}
        elif args or kwargs:
            self.found.calls.add(name)
        self.stack.append(self.world.new(cls, args, kwargs))

    def build(self) -> None:
        """BUILD: set the state of what lies under it."""
        state = self.stack.pop()
        instance = self.stack[-1]
        if isinstance(instance, ArrayWrapper):
            self.stack[-1] = self._array(instance, state)
        elif self.world.name_of(instance) is not None or type(instance) in _PLAIN or isinstance(instance, type):
            self._note("it changes what it has imported")
        else:
            kind = self.world.kind_of(instance)
            fault = STATE_RULES[kind](state, self.world.name_of) if kind in STATE_RULES else None
            if fault:
                self._note(fault)
            self.world.build(instance, state)

    def _array(self, wrapper: ArrayWrapper, state: dict[str, Any]) -> Any:
        """Step over (or take in) the bytes of an array: after the wrapper's state they follow outside all frames."""
        tape = self.tape
        for name in ("shape", "order", "dtype", "numpy_array_alignment_bytes"):
            if name in state:
                setattr(wrapper, name, state[name])
        if self.in_array or tape.frame_end not in {None, tape.position}:
            raise Refused(UNUSUAL_ARRAYS)
        self.loose_wrappers -= 1
        tape.frame_end = None
        dtype = self.world.dtype(wrapper.dtype)
        if dtype.hasobject:
            inner = Machine(tape, self.world, self.found, limits=self.limits, in_array=True)
            return inner.run()
        shape = wrapper.shape
        if type(shape) is not tuple or not all(type(side) is int and side >= 0 for side in shape):
            raise Refused("an array has a shape that cannot be")
        if wrapper.numpy_array_alignment_bytes is not None:
            tape.skip(tape.number(1))
        start = tape.position
        tape.skip(math.prod(shape) * dtype.itemsize)
        return self.world.array(tape.data, start, wrapper, dtype)

    # What is never read

    def protocol_of(self) -> None:
        """PROTO."""
        self.protocol = self.tape.number(1)
        if not self.in_array:
            self.found.protocol = max(self.found.protocol, self.protocol)
        if self.protocol > pickle.HIGHEST_PROTOCOL:
            raise Refused(f"it says protocol {self.protocol}, which Python does not know")

    def extension(self, width: int) -> None:
        """EXT1 to EXT4: an import by a number that is looked up in a registry of the process."""
        code = self.tape.number(width)
        self._note(f"it imports by extension code {code}, which can stand for anything")
        self.stack.append(self.world.nothing())

    def persistent(self, *, by_line: bool) -> None:
        """PERSID and BINPERSID: an object that the loader is asked for."""
        if by_line:
            self.tape.line()
        else:
            self.stack.pop()
        self._note("it refers to objects outside the file (persistent ids), as PyTorch does")
        self.stack.append(self.world.nothing())

    def buffer(self) -> None:
        """NEXT_BUFFER and READONLY_BUFFER."""
        raise Refused("it refers to buffers outside the file")


_OBJECT = "builtins.object"
_PLAIN = {list, tuple, dict, set, frozenset, str, bytes, bytearray, int, float, bool, complex, type(None)}

# Every opcode that is not a constant and not the memo's.
_STEPS: dict[int, Callable[[Machine], None]] = {
    pickle.MARK[0]: Machine.mark,
    pickle.POP[0]: Machine.pop,
    pickle.POP_MARK[0]: Machine.pop_mark,
    pickle.DUP[0]: lambda machine: machine.again(machine.stack[-1]),
    pickle.MEMOIZE[0]: Machine.memoize,
    pickle.TUPLE[0]: lambda machine: machine.push(tuple(machine.since_mark())),
    pickle.TUPLE1[0]: lambda machine: machine.tuple_of(1),
    pickle.TUPLE2[0]: lambda machine: machine.tuple_of(2),
    pickle.TUPLE3[0]: lambda machine: machine.tuple_of(3),
    pickle.LIST[0]: lambda machine: machine.push(machine.since_mark()),
    pickle.DICT[0]: Machine.dictionary,
    pickle.FROZENSET[0]: Machine.frozen,
    pickle.APPEND[0]: lambda machine: machine.append([machine.stack.pop()]),
    pickle.APPENDS[0]: lambda machine: machine.append(machine.since_mark()),
    pickle.SETITEM[0]: Machine.set_item,
    pickle.SETITEMS[0]: lambda machine: machine.fill_dict(machine.since_mark()),
    pickle.ADDITEMS[0]: Machine.add,
    pickle.GLOBAL[0]: Machine.import_lines,
    pickle.STACK_GLOBAL[0]: Machine.import_stack,
    pickle.INST[0]: Machine.instance,
    pickle.OBJ[0]: Machine.object,
    pickle.REDUCE[0]: Machine.reduce,
    pickle.NEWOBJ[0]: lambda machine: machine.new(with_keywords=False),
    pickle.NEWOBJ_EX[0]: lambda machine: machine.new(with_keywords=True),
    pickle.BUILD[0]: Machine.build,
    pickle.PROTO[0]: Machine.protocol_of,
    pickle.FRAME[0]: lambda machine: machine.tape.enter_frame(),
    pickle.EXT1[0]: lambda machine: machine.extension(1),
    pickle.EXT2[0]: lambda machine: machine.extension(2),
    pickle.EXT4[0]: lambda machine: machine.extension(4),
    pickle.PERSID[0]: lambda machine: machine.persistent(by_line=True),
    pickle.BINPERSID[0]: lambda machine: machine.persistent(by_line=False),
    pickle.NEXT_BUFFER[0]: Machine.buffer,
    pickle.READONLY_BUFFER[0]: Machine.buffer,
}

OPCODES = frozenset(LITERALS) | frozenset(STORES) | frozenset(FETCHES) | frozenset(_STEPS) | {pickle.STOP[0]}
