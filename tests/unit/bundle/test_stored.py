"""Every bundle that was once written stays readable: it is verified, loaded, and answers its golden rows as ever.

``format-1-onnx`` and ``format-1-native`` were written before a manifest could name other forms. A bundle of a format
that is given up comes to stand beside them.
"""

from pathlib import Path

import pytest

from aweigh.bundle.manifest import FORMAT
from aweigh.bundle.verify import verify
from aweigh.runtime.load import load

STORED = sorted((Path(__file__).parents[2] / "bundles").glob("*.aweigh"))


def test_there_is_one_of_every_format():
    formats = {verify(path).manifest.format for path in STORED}
    assert formats == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_stored_bundle_answers_its_golden_rows(path, threads):
    predictor = load(verify(path), threads=threads)
    replay = predictor.replay()
    assert replay.problems == ()
    assert replay.rows == len(predictor.examples.rows) > 0


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_bundle_that_says_nothing_of_threads_gets_one(path):
    bundle = verify(path)
    forms = load(bundle, threads=4).forms
    assert forms.how == "only"
    assert [(one.runtime, one.threads) for one in forms.candidates] == [(bundle.manifest.runtime, 1)]
