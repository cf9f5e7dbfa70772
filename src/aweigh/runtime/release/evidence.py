"""Evidence that something happens more often than it may, which can be looked at after every request.

A test that is right once is wrong when it is asked again every second until it says yes. This one may be asked at any
time: it is a mixture of likelihood ratios, each of which says how much better the counts fit a larger share than the
largest that is allowed. While the true share is not larger, such a ratio is a supermartingale that starts at 1, so that
it ever reaches 1 / alpha with a probability of alpha at most (Ville's inequality; Robbins 1970; Howard, Ramdas,
McAuliffe, Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences").
"""

import math

ALPHA = 0.001
"""How likely a limit that is kept is ever taken for broken, in a whole trial."""

BEYOND = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95)
"""The shares that are weighed: so far on the way from what is allowed to all. Small ones find what is a little too much
with many requests, large ones what is far too much with few."""


def log_evidence(happened: int, asked: int, allowed: float) -> float:
    """The logarithm of the evidence that it happens more often than to a share of ``allowed`` of those who asked.

    >>> log_evidence(0, 100, 0.01) < 0 < log_evidence(5, 100, 0.01) < log_evidence(50, 100, 0.01)
    True
    """
    if not 0 < allowed < 1 or asked <= 0:
        return 0.0
    logs = []
    for way in BEYOND:
        share = allowed + way * (1 - allowed)
        logs.append(happened * math.log(share / allowed) + (asked - happened) * math.log((1 - share) / (1 - allowed)))
    most = max(logs)
    return most + math.log(sum(math.exp(one - most) for one in logs) / len(logs))


def is_more(happened: int, asked: int, allowed: float, *, alpha: float = ALPHA) -> bool:
    """Whether it happens more often than it may; wrongly so with a probability of ``alpha``, however often asked."""
    return log_evidence(happened, asked, allowed) >= -math.log(alpha)
