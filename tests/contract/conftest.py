"""The fixtures of the contract: a place that runs, a shell at it, and the bundles that go there."""

from collections.abc import Iterator

import pytest
from tests.contract.bundles import Bundles, make_bundles
from tests.contract.place import Shell
from tests.contract.places import PLACES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have every test once for each place that has what it is about: `holds(*shown, takes=..., slow=...)` says that.

    What is shown stands in the table once it has passed; what it only takes does not. What the place is not held to is
    skipped with its reason; what it has no verb for is no test of it at all. At the places named slow it is left to the
    slow tests.
    """
    if "place" not in metafunc.fixturenames:
        return
    from aweigh.cli.places import PLACES as KNOWN

    (mark,) = metafunc.definition.iter_markers("holds")
    verbs = {verb for known in KNOWN.values() for verb in known}
    found = []
    for place in PLACES:
        about = mark.args + mark.kwargs.get("takes", ())
        if any(one in verbs and one not in KNOWN[place.name] for one in about):
            continue
        why = next((place.cannot[one] for one in about if one in place.cannot), None)
        marks = list(place.marks)
        if why is not None:
            marks.append(pytest.mark.skip(reason=why))
        elif mark.args:
            marks.append(pytest.mark.shows(place.name, *mark.args, how=place.how))
        if place.id in mark.kwargs.get("slow", ()):
            marks.append(pytest.mark.slow)
        found.append(pytest.param(place, marks=marks, id=place.id))
    metafunc.parametrize("place", found, indirect=True, scope="module")


@pytest.fixture(scope="module")
def place(request):
    return request.param


@pytest.fixture(scope="module")
def bundles(place, tmp_path_factory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")
    return make_bundles(folder, offline=place.in_process, folders="folders" not in place.cannot)


@pytest.fixture(scope="module")
def shell(place, request, tmp_path_factory) -> Iterator[Shell]:
    """Commands at a place that runs."""
    with place.running(tmp_path_factory.mktemp(place.id), request.getfixturevalue) as running:
        shell = Shell(place, running, tmp_path_factory.mktemp("user"))
        yield shell
        shell.type("destroy", "--yes")
