"""The last step of a reply: in the coding that its client takes, and with the time that each stage took."""

from aweigh.server.reply import Headers, Reply
from aweigh.server.timing import COMPRESS, WRITE, Timing
from aweigh.wire.coding import CODINGS, WORTH_BYTES, Coding, coding_for, compress

VARY = (b"vary", b"accept-encoding")


def finish(reply: Reply, *, accepted: bytes, timing: Timing, among: tuple[Coding, ...] = CODINGS) -> Reply:
    """The reply as it is sent to a client with that ``Accept-Encoding``, in one of these codings, if in any.

    Its writing has just ended. To be called where the reply was written: in a thread, when it is large.
    """
    headers, body = reply
    timing.mark(WRITE)
    if accepted or len(body) >= WORTH_BYTES:
        headers, body = coded(headers, body, accepted=accepted, timing=timing, among=among)
    headers.append(timing.header())
    return headers, body


def coded(
    headers: Headers,
    body: bytes,
    *,
    accepted: bytes,
    timing: Timing | None = None,
    among: tuple[Coding, ...] = CODINGS,
) -> Reply:
    """The reply in the coding that suits it and the client; ``timing`` is told when that took time."""
    worth = len(body) >= WORTH_BYTES
    coding = coding_for(accepted, worth=worth, among=among)
    if coding != "identity":
        body = compress(body, coding)
        if timing is not None:
            timing.mark(COMPRESS)
        headers = [one for one in headers if one[0] != b"content-length"]
        headers += [(b"content-length", b"%d" % len(body)), (b"content-encoding", coding.encode())]
    if worth or coding != "identity":
        headers.append(VARY)
    return headers, body
