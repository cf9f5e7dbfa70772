"""Pickles as no pickler writes them: refused by the scan, and, should the scan ever be wrong, by loading as well."""

import io
import pickle
import struct

import joblib
import numpy as np
import pytest

from aweigh.models.scan import Limits, scan_bytes, trusted_calls, trusted_names
from aweigh.models.scan.limits import Refused
from aweigh.models.scan.machine import Findings, Machine
from aweigh.models.scan.tape import Tape
from aweigh.models.scan.worlds import Real

NAMES, CALLS = trusted_names("sklearn"), trusted_calls("sklearn")
SYSTEM = b"cos\nsystem\n"
ARGS = b"(Vexit 1\nt"
PIPELINE = b"csklearn.pipeline\nPipeline\n"
DTYPE = b"cnumpy\ndtype\n"
WRAPPER = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n"


def text(value):
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def stack_global(module, name):
    return text(module) + text(name) + b"\x93"


def frame(data):
    return b"\x95" + struct.pack("<Q", len(data)) + data


def load_alone(data):
    """Load without the scan."""
    return Machine(Tape(data), Real(NAMES, CALLS), Findings()).run()


def blocked(data):
    """The scan's findings, after seeing that loading refuses these bytes without it."""
    found = scan_bytes(data)
    assert found.unreadable or set(found.names) - NAMES or set(found.calls) - CALLS
    with pytest.raises((Refused, ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError)):
        load_alone(data)
    return found


IMPORTS = {
    "INST": (b"(Vexit 1\nios\nsystem\n.", "os.system"),
    "OBJ": (b"(cos\nsystem\nVexit 1\no.", "os.system"),
    "REDUCE": (SYSTEM + ARGS + b"R.", "os.system"),
    "NEWOBJ": (b"\x80\x02cbuiltins\neval\n" + ARGS + b"\x81.", "builtins.eval"),
    "NEWOBJ_EX": (b"\x80\x04cbuiltins\neval\n" + ARGS + b"}\x92.", "builtins.eval"),
    "STACK_GLOBAL": (b"\x80\x04" + stack_global("os", "system") + b".", "os.system"),
    "from the memo": (b"\x80\x04" + text("system") + b"\x940" + text("os") + b"h\x00\x93.", "os.system"),
    "named and dropped": (SYSTEM + b"0N.", "os.system"),
    "below a mark that is dropped": (b"(" + SYSTEM + b"1N.", "os.system"),
    "as a key": (b"}" + SYSTEM + b"Ns.", "os.system"),
    "in a frozen set": (b"\x80\x04(" + SYSTEM + b"\x91.", "os.system"),
    "in a state": (PIPELINE + b")\x81}Vsteps\n" + SYSTEM + b"sb.", "os.system"),
    "Python 2's name": (b"c__builtin__\neval\n.", "builtins.eval"),
    "Python 2's moved name": (b"ccommands\ngetoutput\n.", "subprocess.getoutput"),
    "Python 2's name under protocol 3": (b"\x80\x03c__builtin__\neval\n.", "__builtin__.eval"),
    "protocol lowered on the way": (b"\x80\x04N0\x80\x02c__builtin__\neval\n.", "builtins.eval"),
    "through attributes": (b"\x80\x04" + stack_global("sklearn.base", "os.system") + b".", "sklearn.base:os.system"),
    "a listed name split elsewhere": (
        b"\x80\x04" + stack_global("sklearn", "pipeline.Pipeline") + b".",
        "sklearn:pipeline.Pipeline",
    ),
    "with a line break": (b"\x80\x04" + stack_global("os\n", "system") + b".", "os\\n.system"),
    "without a module": (b"c\nsystem\n.", ".system"),
    "in the second frame": (b"\x80\x04" + frame(b"N0N0N0") + frame(SYSTEM + b"."), "os.system"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_every_way_to_import_is_seen(case):
    data, offender = IMPORTS[case]
    assert offender in blocked(data).names


REFUSED = {
    "a name made at run time": (
        b"\x80\x04" + text("os") + b"cnumpy\nstr_\n" + text("system") + b"\x85R\x93.",
        "makes up the name of an import",
    ),
    "a name in bytes": (b"\x80\x04" + text("os") + b"C\x06system\x93.", "makes up the name of an import"),
    "a call of a result": (
        b"ccollections\nOrderedDict\n)R" + ARGS + b"R.",
        "calls what it has made at run time",
    ),
    "a call of a constant": (b"Vos.system\n" + ARGS + b"R.", "calls what it has made at run time"),
    "a call with a list": (b"ccollections\nOrderedDict\n]R.", "something other than arguments"),
    "an instance of a constant": (b"Vos.system\n)\x81.", "makes an instance of what is no class"),
    "EXT1": (b"\x80\x02\x82\x01.", "extension code 1"),
    "EXT2": (b"\x80\x02\x83\x01\x02.", "extension code 513"),
    "EXT4": (b"\x80\x02\x84\x01\x00\x00\x00.", "extension code 1"),
    "PERSID": (b"Pname\n.", "persistent ids"),
    "BINPERSID": (b"Vname\nQ.", "persistent ids"),
    "NEXT_BUFFER": (b"\x80\x05\x97.", "buffers outside the file"),
    "READONLY_BUFFER": (b"\x80\x05N\x98.", "buffers outside the file"),
    "a class that is changed": (PIPELINE + b"(N}Vpredict\ncnumpy\nlog1p\nstb.", "changes what it has imported"),
    "a list with a state": (b"]}b.", "changes what it has imported"),
    "a frame within a frame": (b"\x80\x04" + frame(b"N0" + frame(b"N.")), "frames overlap"),
    "a frame that is too long": (b"\x80\x04\x95" + struct.pack("<Q", 99) + b"N.", "frames overlap or are cut"),
    "an opcode over a frame's end": (b"\x80\x04\x95" + struct.pack("<Q", 2) + b"\x8c\x04abcd.", "end of its frame"),
    "an end within a frame": (b"\x80\x04" + frame(b"N.N."), "ends before its frame"),
    "a protocol to come": (b"\x80\x06N.", "protocol 6"),
    "no opcode": (b"\x80\x04N\xff.", "no opcode"),
    "an empty stack": (b"\x80\x04.", "do not fit together"),
    "an unknown memo": (b"\x80\x04h\x07.", "do not fit together"),
    "a mark that is missing": (b"\x80\x04t.", "do not fit together"),
    "an odd dictionary": (b"\x80\x04(Nd.", "do not fit together"),
    "a list as a key": (b"\x80\x04}]Ns.", "do not fit together"),
    "Python 2's text": (b"\x80\x02U\x02\xc3\xa9.", "Python 2"),
    "a string without quotes": (b"\x80\x02Sabc\n.", "without quotes"),
    "more bytes than there are": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".", "cut short"),
    "more of a byte array than there is": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", "cut short"),
    "a number of many digits": (b"\x80\x02I" + b"9" * 5000 + b"\n.", "four thousand digits"),
    "a number of many bytes": (b"\x80\x02\x8b" + struct.pack("<i", 5000) + bytes(5000) + b".", "four thousand bytes"),
    "huge numbers as keys": (b"\x80\x04}\x8a\x09" + b"\x01" * 9 + b"Ns.", "huge numbers as keys"),
    "a tower as a key": (b"\x80\x04}" + b")" + b"\x85" * 100_000 + b"Ns.", "nested tuples as keys"),
    "laughter as a key": (b"\x80\x04}" + b")" + b"2\x86" * 60 + b"Ns.", "nested tuples as keys"),
    "laughter in a set": (b"\x80\x04\x8f(" + b")" + b"2\x86" * 60 + b"\x90.", "nested tuples as keys"),
    "laughter in a frozen set": (b"\x80\x04(" + b")" + b"2\x86" * 60 + b"\x91.", "nested tuples as keys"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_pickler_writes_is_refused(case):
    data, reason = REFUSED[case]
    assert reason in (blocked(data).unreadable or "")


# Listed functions, called as no model calls them.
CALLED = {
    "a codec that is no text": b"c_codecs\nencode\n(Vabc\nVzlib\ntR.",
    "a byte array of a size": b"\x80\x04cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "bytes of a size": b"\x80\x04cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
    "a base of the file's own": b"ccopyreg\n_reconstructor\n(" + PIPELINE + PIPELINE + b"NtR.",
    "an array of a size": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999\ntVb\ntR.",
    "a masked array of a size": b"cnumpy.ma.core\n_mareconstruct\n(cnumpy\nndarray\ncnumpy\nndarray\n(I9\ntVb\ntR.",
    "everybody's dtype": DTYPE + b"(Vf8\ntR.",
    "a dtype from a record": DTYPE + b"(](Va\nVO\ntaI00\nI01\ntR.",
    "a random state by a call": b"cnumpy.random._pickle\n__randomstate_ctor\n(VMT19937\ncnumpy\nlog1p\ntR.",
    "a bit generator of another class": b"cnumpy.random._pickle\n__bit_generator_ctor\n(" + PIPELINE + b"tR.",
    "an index of another class": b"cpandas.core.indexes.base\n_new_Index\n(" + PIPELINE + b"}tR.",
    "a factory that is a function": b"ccollections\ndefaultdict\n(cnumpy\nlog1p\ntR.",
    "an Arrow array of numbers": b"cpyarrow.lib\ntype_for_alias\n(Vint64\ntR.",
    "an Arrow array of nothing": b"cpyarrow.lib\n_restore_array\n((NI1\nI0\nI0\n]]NttR.",
    "a partial of anything": b"cfunctools\npartial\n(cnumpy\nlog1p\ntR.",
    "a partial that becomes of anything": (
        b"cfunctools\npartial\n(csklearn.utils.validation\ncheck_array\ntR(cnumpy\nlog1p\n)}Ntb."
    ),
    "a text vectorizer of files": b"csklearn.feature_extraction.text\nCountVectorizer\n)\x81}Vinput\nVfilename\nsb.",
}


@pytest.mark.parametrize("case", CALLED)
def test_listed_functions_are_called_only_as_models_call_them(case):
    found = blocked(CALLED[case])
    assert found.unreadable
    assert set(found.names) <= NAMES, "the case should pass the lists"


def test_what_is_listed_without_a_call_is_not_called():
    found = blocked(PIPELINE + b"(]tR.")
    assert found.calls == ("sklearn.pipeline.Pipeline",)
    assert found.names == ("sklearn.pipeline.Pipeline",)
    assert blocked(b"\x80\x02cxgboost.core\nBooster\n(N)Vmodel.bin\nt\x81.").calls == ("xgboost.core.Booster",)


def test_an_attribute_named_setstate_is_not_called():
    """pickle itself would look it up on the instance, where the file has just put it."""
    cls = b"csklearn.metrics._scorer\n_PassthroughScorer\n"
    instance = load_alone(cls + b")\x81}V__setstate__\ncnumpy\nlog1p\nsb}V_estimator\nI1\nsb.")
    assert vars(instance) == {"__setstate__": np.log1p, "_estimator": 1}


def described(state, code="V8"):
    """A numpy type with a state of the file's choosing."""
    return DTYPE + b"(V" + code.encode() + b"\nI00\nI01\ntR" + state + b"b"


def test_slots_are_set_but_none_of_pythons_own():
    fraction = frozenset({"fractions.Fraction"})

    def load(slots):
        data = b"\x80\x02cfractions\nFraction\n)\x81N}" + slots + b"s\x86b."
        return Machine(Tape(data), Real(fraction, frozenset()), Findings()).run()

    assert load(b"X\x0a\x00\x00\x00_numeratorK\x03") == 3
    with pytest.raises(Refused, match="it sets __class__"):
        load(b"X\x09\x00\x00\x00__class__K\x03")


def test_only_containers_are_filled():
    """A class of the list could do anything when it is asked to append."""
    for fill in (b"Na.", b"(Ne.", b"NNs.", b"(NNu.", b"(N\x90."):
        with pytest.raises(Refused, match="as if it were"):
            load_alone(b"\x80\x04ccollections\nOrderedDict\n)R0" + PIPELINE + b")\x81" + fill)
    assert load_alone(b"\x80\x04\x8f(K\x01K\x02\x90.") == {1, 2}


OBJECT = DTYPE + b"(VO8\nI00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI63\ntb"
LIES = {
    # The type of an array of pointers, which says that it is plain bytes: what follows would be taken for objects.
    "a record that denies its objects": described(b"(I3\nV|\nN(Va\nt}Va\n(" + OBJECT + b"I0\ntsI8\nI1\nI0\nt"),
    "objects that deny it": described(b"(I3\nV|\nNNNI-1\nI-1\nI0\nt", "O8"),
    "numbers that claim objects": described(b"(I3\nV<\nNNNI-1\nI-1\nI63\nt", "f8"),
    "a field beyond the end": described(b"(I3\nV|\nN(Va\nt}Va\n(" + OBJECT + b"I4\ntsI8\nI1\nI27\nt"),
    "another width": described(b"(I3\nV|\nNNNI80\nI1\nI0\nt"),
    "fields that are not named": described(b"(I3\nV|\nN(Va\nt}Vb\n(" + OBJECT + b"I0\ntsI8\nI1\nI27\nt"),
    "a subarray of pointers": described(b"(I3\nV|\n(" + OBJECT + b"(I1\nttNNI8\nI1\nI0\nt"),
    "a state that is none": described(b"Vabc\n"),
    "a version to come": described(b"(I9\nV|\nNNNI8\nI1\nI0\nt"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_numpy_type_that_lies_is_refused(case):
    """numpy believes such a state, and that is as good as running code: see dtypes.py."""
    array = b"cnumpy.core.multiarray\nscalar\n(" + LIES[case] + b"c_codecs\nencode\n(V12345678\nVlatin1\ntRtR."
    with pytest.raises((Refused, ValueError, TypeError)):
        load_alone(array)
    wrapped = WRAPPER + b")\x81}(Vshape\n(I1\ntVorder\nVC\nVdtype\n" + LIES[case] + b"ub12345678."
    assert scan_bytes(wrapped).unreadable
    with pytest.raises((Refused, ValueError, TypeError)):
        load_alone(wrapped)


@pytest.mark.parametrize(
    "dtype",
    [
        *"? b1 i1 u2 <i4 >i4 u8 f2 f4 <f8 >f8 g c8 c16 S1 S7 U1 <U12 >U3 V5 O".split(),
        *"M8 <M8[ns] >M8[D] M8[25s] m8[h]".split(),
        [("a", "f8"), ("b", "i4")],
        [("a", "f8"), ("b", "O")],
        [("a", [("x", "f4"), ("y", "U3")], (2, 2)), ("b", "?")],
        {"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [3, 16], "itemsize": 40},
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_numpy_type_that_tells_the_truth_is_read(dtype, protocol):
    array = np.zeros((2, 3), dtype=dtype)
    file = io.BytesIO()
    joblib.dump([array, array.T], file, protocol=protocol)
    for data in (file.getvalue(), pickle.dumps([array, array.T], protocol)):
        found = scan_bytes(data)
        assert found.unreadable is None
        assert set(found.names) <= NAMES
        for loaded in load_alone(data):
            assert loaded.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
            assert str(loaded.tolist()) in (str(array.tolist()), str(array.T.tolist()))


def wrapped(**state):
    """A joblib array by hand, its bytes to be added."""
    parts = {"shape": b"(I2\nt", "order": b"VC\n", "dtype": DTYPE + b"(Vi1\nI00\nI01\ntR", **state}
    return WRAPPER + b")\x81}(" + b"".join(b"V" + key.encode() + b"\n" + value for key, value in parts.items()) + b"ub"


MISUSED_ARRAYS = {
    "more bytes than there are": wrapped(shape=b"(I2000000000\nt") + b"ab.",
    "a negative side": wrapped(shape=b"(I-2\nI-1\nt") + b"ab.",
    "a side that is no number": wrapped(shape=b"(Vx\nt") + b"ab.",
    "a shape that is no tuple": wrapped(shape=b"]") + b"ab.",
    "a type that is no type": wrapped(dtype=b"Vi1\n") + b"ab.",
    "never built": WRAPPER + b")\x81.",
    "named only": WRAPPER + b".",
    "made by a function": b"csklearn.neighbors._kd_tree\nnewObj\n(" + WRAPPER + b"tR}b.",
    "built twice": WRAPPER + b")\x81p0\n" + wrapped()[len(WRAPPER) + 2 :] + b"abg0\n}b.",
    "made twice of one mention": WRAPPER + b"2)\x81" + wrapped()[len(WRAPPER) + 2 :] + b"ab.",
    "made of a tuple that is kept": (
        b"("
        + WRAPPER
        + b"cbuiltins\nobject\nNtp0\n0ccopyreg\n_reconstructor\ng0\nR"
        + wrapped()[len(WRAPPER) + 2 :]
        + b"ab."
    ),
    "within a frame": b"\x80\x04" + frame(wrapped() + b"abN.") + b"ab.",
    "with arguments": WRAPPER + b"(Nt\x81}b.",
}


@pytest.mark.parametrize("case", MISUSED_ARRAYS)
def test_joblibs_arrays_are_read_only_as_joblib_writes_them(case):
    """Otherwise bytes could be an array to one reader and opcodes to another."""
    assert blocked(MISUSED_ARRAYS[case]).unreadable


def test_an_array_by_hand_is_read():
    loaded = load_alone(wrapped() + b"ab.")
    assert loaded.tolist() == [97, 98]
    assert scan_bytes(wrapped() + b"ab.").format == "joblib"


def test_an_array_within_an_array_of_objects_is_refused():
    """joblib reads that inner pickle as a plain one, in which no bytes of arrays follow."""
    file = io.BytesIO()
    joblib.dump(np.array([None]), file)
    head = file.getvalue()[: file.getvalue().rindex(b"\x80\x05")]
    assert "unusual way" in scan_bytes(head + wrapped() + b"ab..").unreadable


def test_files_of_joblib_before_0_10_are_refused():
    old = b"cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81}(Vfilename\nVother.npy\nub."
    assert blocked(old).names == ("joblib.numpy_pickle.NDArrayWrapper",)
    assert "joblib before 0.10" in scan_bytes(b"ZF0x10              " + b"x" * 9).unreadable


def test_a_pickle_of_endless_steps_is_refused():
    limits = Limits(opcodes=1000, depth=50)
    assert "more steps" in scan_bytes(b"\x80\x04" + b"N0" * 1000 + b"N.", limits=limits).unreadable
    assert "more steps" in scan_bytes(b"\x80\x04" + b"(" * 60 + b"N.", limits=limits).unreadable
    assert scan_bytes(b"\x80\x04" + b"N0" * 400 + b"N.", limits=limits).unreadable is None


def test_a_deep_pickle_is_read_without_recursion():
    assert load_alone(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".") is not None
