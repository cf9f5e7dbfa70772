"""The last step of a reply: in the coding that its client takes, and with the time that each stage took."""

from aweigh.server.reply import Headers, Reply
from aweigh.server.timing import COMPRESS, WRITE, Timing
from aweigh.wire.coding import WORTH_BYTES, coding_for, compress

VARY = (b"vary", b"accept-encoding")


def finish(reply: Reply, *, accepted: bytes, timing: Timing) -> Reply:
    """The reply as it is sent to a client with that ``Accept-Encoding``; its writing has just ended.

    To be called where the reply was written: in a thread, when it is large.
    """
    headers, body = reply
    timing.mark(WRITE)
    if accepted or len(body) >= WORTH_BYTES:
        headers, body = coded(headers, body, accepted=accepted, timing=timing)
    headers.append(timing.header())
    return headers, body


def coded(headers: Headers, body: bytes, *, accepted: bytes, timing: Timing | None = None) -> Reply:
    """The reply in the coding that suits it and the client; ``timing`` is told when that took time."""
    worth = len(body) >= WORTH_BYTES
    coding = coding_for(accepted, worth=worth)
    if coding != "identity":
        body = compress(body, coding)
        if timing is not None:
            timing.mark(COMPRESS)
        headers = [one for one in headers if one[0] != b"content-length"]
        headers += [(b"content-length", b"%d" % len(body)), (b"content-encoding", coding.encode())]
    if worth or coding != "identity":
        headers.append(VARY)
    return headers, body
