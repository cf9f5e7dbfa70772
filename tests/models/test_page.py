"""The page that says how each model is served has a row for every case of the suite, and no other."""

from suite import cases


def test_every_case_has_a_row_and_every_row_a_case(page):
    assert sorted(page) == sorted(case.name for case in cases())


def test_the_suite_covers_what_it_promises():
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names) >= 90
    families = {case.family for case in cases()}
    assert families >= {"scikit-learn", "xgboost", "lightgbm", "catboost", "onnx", "python"}
    assert sum(not case.slow for case in cases()) >= 60
    assert {case.learns for case in cases()} >= {"text", "integers", "yes/no", "signs", "floats", "number", None}
