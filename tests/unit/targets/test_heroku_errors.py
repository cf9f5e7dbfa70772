"""What the platform refuses, and how a build fails, each as one sentence and a fix."""

import json

import pytest

from aweigh.targets.heroku.errors import build_failed, refusal, silent

WHAT = "to create the app penguins"


def said(status, word="", message=""):
    return refusal(status, json.dumps({"id": word, "message": message}).encode(), what=WHAT)


@pytest.mark.parametrize(
    ("status", "word", "message", "sentence", "fix"),
    [
        (401, "unauthorized", "Invalid credentials provided.", "does not accept the token", "authorizations:create"),
        (403, "two_factor", "A second factor is required.", "asks for a second factor", "needs no second factor"),
        (402, "verification_required", "Please verify your account.", "verified account", "payment method"),
        (422, "verification_required", "Please verify your account.", "verified account", "payment method"),
        (402, "delinquent", "Delinquent.", "in arrears", "invoices"),
        (403, "forbidden", "You do not have access.", "may not create the app penguins", "another name"),
        (404, "not_found", "Couldn't find that app.", "found nothing", "check the name"),
        (409, "conflict", "Build in progress.", "two things at once", "wait until"),
        (422, "invalid_params", "Name penguins is already taken", "refuses to create", "another name"),
        (422, "invalid_params", "No such size", "refuses to create", "--size"),
        (422, "invalid_params", "Couldn't find that plan.", "refuses to create", "heroku-postgresql:essential-0"),
        (429, "rate_limit", "Your account reached the API rate limit", "ask no more for now", "wait some minutes"),
        (500, "internal_server_error", "Internal error", "failed with the status 500", "status.heroku.com"),
        (503, "", "", "failed with the status 503", "status.heroku.com"),
        (418, "teapot", "short and stout", "the status 418", "again"),
    ],
)
def test_each_refusal_is_a_sentence_and_a_fix(status, word, message, sentence, fix):
    error = said(status, word, message)
    assert sentence in error.message
    assert fix in error.hint
    assert (error.status, error.id, error.exit_code) == (status, word, 4)
    assert "\n" not in error.message


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"id": 3}', b"\xff\xfe", b"[" * 5000])
def test_an_answer_that_is_no_document_is_told_all_the_same(body):
    error = refusal(502, body, what=WHAT)
    assert error.message.startswith("Heroku failed with the status 502")


def test_the_platforms_words_are_one_line_and_not_too_many():
    error = said(422, "", "a\nb\t" + "x" * 5000)
    assert "a b" in error.message
    assert len(error.message) < 400


def test_whether_something_may_have_been_done_is_said():
    assert "not known" in silent(WHAT, why="ReadError", sent=True).message
    assert "cannot be reached" in silent(WHAT, why="ConnectError", sent=False).message


@pytest.mark.parametrize(
    ("log", "sentence", "fix"),
    [
        ([" !     Compiled slug size: 605.7M is too large (max is 500M)."], "605.7M is too large", "aweigh doctor"),
        (
            ["-----> x", " !     Error: No 'Pipfile.lock' found!", " !", " !     Push rejected"],
            "Pipfile.lock",
            "log above",
        ),
        ([" !     Error: Multiple Python package manager files were found."], "Multiple Python", "keep one of"),
        (
            ["ERROR: No matching distribution found for numpy==1.23.1", " !     Unable to install"],
            "Unable",
            "aweigh lock",
        ),
        (["the last line", ""], "the last line", "log above"),
        ([], "The build failed.", "log above"),
    ],
)
def test_a_build_that_fails_is_told_by_its_own_log(log, sentence, fix):
    error = build_failed(log)
    assert sentence in error.message
    assert fix in error.hint
