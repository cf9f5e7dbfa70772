"""A stand-in for Kubernetes' API that also does what a real one does not do on demand, and what plays its controllers.

The API of ``api.py`` knows as much of Kubernetes as a deployment asks: discovery, lists with pages, watches,
server-side apply with owners of fields, merge patches, status, logs and forwarded ports; and it can be told to fail.
What it cannot show (validation, access rights, credentials) test_apiserver.py shows with a real kube-apiserver.
"""

import pytest
from tests.shown import cells


def shows(*verbs, how):
    """The mark of what a test shows of the place, as far as the command line has it."""
    known = [verb for verb in verbs if ("kubernetes", verb) in cells()]
    return pytest.mark.shows("kubernetes", *known, how=how)
