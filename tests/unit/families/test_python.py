"""A function of the user's: what it may give back, what of its project travels, and that nothing else is reached."""

import re
import shutil
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aweigh import registry
from aweigh.config import Config
from aweigh.errors import DamagedBundle, ModelError, ProofFailed, UnsupportedModel, UsageError
from aweigh.models import python as family
from aweigh.models.parity import prove
from aweigh.models.python_source import collect
from aweigh.models.python_world import load_function
from aweigh.packing.original import ask
from aweigh.packing.sample import align, open_sample
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema

DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "serve-your-own-function.md"
ROWS = 40


@pytest.fixture
def sample() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    frame = pd.DataFrame({"area": generator.uniform(20, 200, ROWS).round(1), "rooms": generator.integers(1, 6, ROWS)})
    frame.loc[3, "area"] = np.nan
    return frame


@pytest.fixture
def project(tmp_path: Path, monkeypatch):
    """Writes a project's files; its modules are forgotten at the end, as every test has its own."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)

    def write(**files: str) -> Path:
        for name, text in files.items():
            file = tmp_path / (name.replace("__", "/") + ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return tmp_path

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def packed(entry, frame):
    """What pack makes of a function: the form, the schema, the answers to the sample."""
    model = family.read(entry)
    described = family.describe(model)
    columns, table = open_sample(frame, described=described)
    aligned = align(columns, table, described=described, target=None, config=Config())
    schema = Schema(columns=aligned.columns, output=described.output)

    def widened(answers: Answers) -> Answers:
        return Answers(
            family.widen(model, answers.output, answers),
            answers.rows,
            index=answers.index,
            probabilities=answers.probabilities,
            values=answers.values,
        )

    asked = ask(lambda rows, known: family.predict(model, rows, known), schema, aligned.table, widen=widened)
    form, _ = prove(family.ways(model, asked.schema), asked.trial)
    return form, asked


def served(form, entry, schema):
    files = {form.file_name: form.data, **form.extra}
    return family.load_code(files.__getitem__, files, entry, schema)


# -- what it gives back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "task"),
    [
        ("frame['area'] * 2", "number"),
        pytest.param("(frame['area'] * 2).tolist()", "number", marks=pytest.mark.slow),
        pytest.param("(frame[['area']] * 2).to_numpy()", "number", marks=pytest.mark.slow),
        pytest.param("frame['rooms']", "number", marks=pytest.mark.slow),
        pytest.param("frame['rooms'].astype('Int64')", "number", marks=pytest.mark.slow),
        ("frame['area'] > 50", "class"),
        ("frame['rooms'].map({1: 'one'}).fillna('more')", "class"),
        pytest.param(
            "frame['rooms'].map({1: 'one'}).fillna('more').astype('category')", "class", marks=pytest.mark.slow
        ),
        ("frame[['area', 'rooms']] * 2", "numbers"),
        pytest.param("(frame[['area', 'rooms']] * 2).to_numpy()", "numbers", marks=pytest.mark.slow),
    ],
)
def test_the_kind_of_answer_is_told_by_what_comes_back(project, sample, returned, task):
    project(own=f"def answer(frame):\n    return {returned}\n")
    form, asked = packed("own:answer", sample)
    assert asked.schema.output.task == task
    assert form.runtime == "python"
    here = served(form, "own:answer", asked.schema)(asked.table)
    assert here.documents() == asked.answers.documents()


def test_classes_are_named_by_the_function(project, sample):
    project(
        own="""
        def answer(frame):
            return (frame["area"] > 100).astype(int) + 1
        answer.classes = [1, 2, 3]
        """
    )
    _, asked = packed("own:answer", sample)
    assert (asked.schema.output.task, asked.schema.output.classes) == ("class", (1, 2, 3))
    assert set(asked.answers.labels()) <= {1, 2}


def test_probabilities_are_a_column_for_each_class(project, sample):
    project(
        own="""
        import pandas as pd
        def answer(frame):
            chance = frame["area"].fillna(70) / 400
            return pd.DataFrame({True: chance, False: 1 - chance})
        answer.classes = [False, True]
        """
    )
    _, asked = packed("own:answer", sample)
    assert asked.schema.output.probabilities
    chance = sample["area"].fillna(70).to_numpy() / 400
    assert asked.answers.probabilities[:, 1] == pytest.approx(chance)
    assert asked.answers.labels() == (chance > 0.5).tolist()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [1, 2, 3]", "gave 3 answers for 40 rows"),
        ("return 7", "gave a int"),
        ("return {'area': 1}", "gave a dict"),
        ("return [object()] * len(frame)", "gave answers of type object"),
        ("return ['a', 1] * (len(frame) // 2)", "gave answers of type int, str"),
        ("return frame.astype(str)", "something else than numbers"),
        ("return frame['area'].map(lambda x: 'big' if x > 199.99 else None)", "gave answers of type"),
    ],
)
def test_what_is_no_answer_for_each_row_is_refused(project, sample, body, said):
    project(own=f"def answer(frame):\n    {body}\n")
    with pytest.raises(UnsupportedModel, match=said) as refused:
        packed("own:answer", sample)
    assert refused.value.hint


def test_a_class_that_the_sample_did_not_show_is_refused(project, sample):
    project(own="def answer(frame):\n    return ['far' if area > 1000 else 'near' for area in frame['area']]\n")
    form, asked = packed("own:answer", sample)
    predict = served(form, "own:answer", asked.schema)
    far = asked.table.take(np.arange(2))
    far.columns["area"].data[:] = 5_000.0
    with pytest.raises(ValueError, match="'far', which is none of its classes 'near'"):
        predict(far)


def test_probabilities_of_other_classes_or_none_are_refused(project, sample):
    project(
        own="""
        import pandas as pd
        def other(frame):
            return pd.DataFrame({"a": frame["rooms"] / 6, "b": 1 - frame["rooms"] / 6})
        other.classes = ["yes", "no"]
        def gaps(frame):
            return pd.DataFrame({"yes": frame["area"] / 400, "no": 1 - frame["area"] / 400})
        gaps.classes = ["yes", "no"]
        """
    )
    with pytest.raises(UnsupportedModel, match="columns a, b for the classes yes, no"):
        packed("own:other", sample)
    with pytest.raises(UnsupportedModel, match="a row without probabilities"):
        packed("own:gaps", sample)


def test_the_function_cannot_change_the_table(project, sample):
    project(
        own="""
        def answer(frame):
            frame["area"] = 0.0
            frame.loc[:, "rooms"] = 7
            return frame["rooms"]
        """
    )
    _, asked = packed("own:answer", sample)
    assert asked.table["rooms"].data.tolist() == sample["rooms"].tolist()


# -- what travels ----------------------------------------------------------------------------------------------------


def test_modules_packages_and_files_travel(project, sample):
    root = project(
        shop__pricing="""
            from __future__ import annotations
            import json, pkgutil
            from dataclasses import dataclass
            from typing import TYPE_CHECKING
            import tools.words as words
            from . import factors
            from .deep.inner import shift
            if TYPE_CHECKING:
                import never.installed
            @dataclass
            class Rule:
                factor: float
            BASE = json.loads(pkgutil.get_data(__name__, "data/base.json"))["base"]
            def answer(frame):
                from tools import late
                return words.sign(late.twice(Rule(factors.AREA).factor * frame["area"])) + shift(BASE)
            """,
        shop__factors="AREA = 2.0",
        shop__deep__inner="from ..factors import AREA\ndef shift(x):\n    return x + AREA",
        tools__words="def sign(x):\n    return -x",
        tools__late="import numpy\ndef twice(x):\n    return numpy.add(x, x)",
        tools__unused="raise RuntimeError",
        other="raise RuntimeError",
    )
    (root / "shop" / "__init__.py").write_text("")
    (root / "shop" / "data").mkdir()
    (root / "shop" / "data" / "base.json").write_text('{"base": 0.5}')
    form, asked = packed("shop.pricing:answer", sample)
    assert form.file_name == "model/code/shop/pricing.py"
    assert sorted(form.extra) == [
        "model/code/shop/__init__.py",
        "model/code/shop/data/base.json",
        "model/code/shop/deep/inner.py",
        "model/code/shop/factors.py",
        "model/code/tools/late.py",
        "model/code/tools/words.py",
    ]
    assert {one.partition("==")[0] for one in form.requirements} == {"numpy", "pandas"}
    assert asked.answers.values.ravel() == pytest.approx((-4.0 * sample["area"] + 2.5).to_numpy(), nan_ok=True)
    # Served where the project is gone, and its modules of the same names are others.
    shutil.rmtree(root / "shop")
    (root / "tools" / "words.py").write_text("raise RuntimeError")
    got = served(form, "shop.pricing:answer", asked.schema)(asked.table)
    assert got.values == pytest.approx(asked.answers.values, nan_ok=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return frame['area'] + len(Path('numbers.csv').read_text())", "it opens 'numbers.csv'"),
        pytest.param(
            "return frame['area'] + len(Path(__file__).with_name('numbers.csv').read_text())",
            "it opens 'numbers.csv'",
            marks=pytest.mark.slow,
        ),
        (
            "import importlib\n    return frame['area'] + importlib.import_module('.'.join(['shop', 'hidden'])).X",
            "No module named 'shop",
        ),
        pytest.param(
            "import sys\n    sys.path.insert(0, HERE)\n    import shop_late\n    return frame['area'] + shop_late.X",
            "the project has it, the bundle has not|No module named 'shop_late'",
            marks=pytest.mark.slow,
        ),
        ("import os\n    return frame['area'] + os.getpid()", "numbers differ"),
    ],
)
def test_what_does_not_travel_is_missed_in_the_proof(project, sample, body, said):
    root = project(
        own=f"from pathlib import Path\nHERE = str(Path(__file__).parent / 'later')\ndef answer(frame):\n    {body}\n",
        shop__hidden="X = 1",
        later__shop_late="X = 1",
    )
    (root / "numbers.csv").write_text("1")
    sys.path.insert(0, str(root / "later"))
    with pytest.raises(ProofFailed, match=said) as failed:
        packed("own:answer", sample)
    assert "pkgutil.get_data" in str(failed.value.hint)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import importlib\ndef answer(frame):\n    return importlib.import_module('mine').X",
            "imports 'mine' by its name",
        ),
        (
            "import pkgutil\nX = pkgutil.get_data(__name__, 'gone.json')\ndef answer(frame): ...",
            "no such file beside it",
        ),
        ("import pkgutil\nX = pkgutil.get_data(__name__, 'w.pkl')\ndef answer(frame): ...", "no kind of file"),
        (
            "import pkgutil\nX = pkgutil.get_data(__name__, '../../../etc/passwd')\ndef answer(frame): ...",
            "no such file",
        ),
    ],
)
def test_what_cannot_travel_is_named(project, source, said):
    root = project(own=source, mine="X = 1")
    (root / "w.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsupportedModel, match=said):
        collect("own", root)


def test_an_error_of_the_users_own_is_told(project, sample):
    project(
        own="""
        import sys
        def answer(frame):
            if "pytest" not in sys.modules:
                raise KeyError("rooms_left")
            return frame["area"]
        """
    )
    with pytest.raises(ProofFailed, match="KeyError: 'rooms_left'"):
        packed("own:answer", sample)
    project(own2="def answer(frame):\n    return frame['nowhere']\n")
    with pytest.raises(ModelError, match="cannot answer the sample: KeyError: 'nowhere'"):
        packed("own2:answer", sample)


@pytest.mark.slow
def test_it_may_print_and_even_exit(project, sample):
    project(
        own="""
        import sys
        def answer(frame):
            print("hello", flush=True)
            return frame["area"]
        def leaves(frame):
            if "pytest" not in sys.modules:
                sys.exit(3)
            return frame["area"]
        """
    )
    form, _ = packed("own:answer", sample)
    assert form.runtime == "python"
    with pytest.raises(ProofFailed, match="SystemExit: 3"):
        packed("own:leaves", sample)


def test_what_is_no_function_of_the_project_is_refused(project):
    project(own="X = 1\ndef answer(frame): ...", broken="1 / 0")
    with pytest.raises(UsageError, match="no module 'nowhere'"):
        family.read("nowhere:answer")
    with pytest.raises(UsageError, match="has no function 'missing'") as refused:
        family.read("own:missing")
    assert "answer" in str(refused.value.hint)
    with pytest.raises(UsageError, match="cannot be imported: ZeroDivisionError"):
        family.read("broken:answer")
    with pytest.raises(UnsupportedModel, match="an installed one, not a file of your project"):
        family.read("pandas:isna")


# -- served ----------------------------------------------------------------------------------------------------------


def test_two_bundles_of_the_same_names_do_not_meet():
    one = load_function(
        {"own.py": b"import part\ndef answer(x):\n    return part.X", "part.py": b"X = 1"}, "own:answer"
    )
    two = load_function(
        {"own.py": b"import part\ndef answer(x):\n    return part.X", "part.py": b"X = 2"}, "own:answer"
    )
    assert (one(None), two(None)) == (1, 2)
    again = load_function(
        {"own.py": b"import part\ndef answer(x):\n    return part.X", "part.py": b"X = 1"}, "own:answer"
    )
    assert again is one
    assert "own" not in sys.modules
    assert "part" not in sys.modules


def test_imports_of_every_form_lead_to_the_bundles_own_modules():
    files = {
        "pack/__init__.py": b"",
        "pack/one.py": b"import pack.two\nfrom pack import three\nfrom .two import X as y\nfrom pack.sub import four\n"
        b"import json\ndef answer(_):\n    import pack.sub.four as z\n"
        b"    return [pack.two.X, three.X, y, four.X, z.X, json.loads('6'), __name__.endswith('pack.one')]",
        "pack/two.py": b"X = 1",
        "pack/three.py": b"X = 2",
        "pack/sub/four.py": b"from ..two import *\nX = X + 3",
    }
    assert load_function(files, "pack.one:answer")(None) == [1, 2, 1, 4, 4, 6, True]


def test_damaged_code_is_refused():
    with pytest.raises(DamagedBundle, match="no module 'gone'"):
        load_function({"own.py": b""}, "gone:answer")
    with pytest.raises(DamagedBundle, match="no function 'gone'"):
        load_function({"own.py": b"gone = 3"}, "own:gone")


@pytest.mark.slow
def test_many_threads_ask_at_once(project, sample):
    project(own="def answer(frame):\n    return frame['area'] * 2 + frame['rooms']\n")
    form, asked = packed("own:answer", sample)
    predict = served(form, "own:answer", asked.schema)
    found = []
    threads = [threading.Thread(target=lambda: found.append(predict(asked.table).values)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for one in found:
        assert one == pytest.approx(asked.answers.values, nan_ok=True)
    assert predict(asked.table.take(np.arange(0))).rows == 0


def test_the_family_is_registered():
    assert registry.family("python") is family


@pytest.mark.parametrize("block", [0, 1])
def test_the_page_says_the_truth(project, sample, block):
    code = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[block]
    root = project()
    (root / "pricing.py").write_text(code)
    (root / "factors.json").write_text('{"base": 20000, "area": 3100}')
    form, asked = packed("pricing:estimate", sample)
    assert asked.schema.output.task == "number"
    assert asked.answers.values[0, 0] > 20_000
    assert ("model/code/factors.json" in form.extra) is (block == 1)
    if block == 0:
        _, asked = packed("pricing:sells_soon", sample)
        assert (asked.schema.output.classes, asked.schema.output.probabilities) == (("no", "yes"), True)


def test_the_project_is_out_of_reach_however_it_is_installed(project, monkeypatch):
    from aweigh.models.python_fresh import _NotOurs

    root = project(later__shop_late="X = 1")
    monkeypatch.syspath_prepend(str(root / "later"))  # as an editable install would
    finder = _NotOurs(root)
    with pytest.raises(ModuleNotFoundError, match="the project has it, the bundle has not"):
        finder.find_spec("shop_late")
    assert finder.find_spec("json") is not None
    assert finder.find_spec("numpy") is not None
    assert finder.find_spec("no_such_module_anywhere") is None
