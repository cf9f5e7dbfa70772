"""What is said when the guard does not let somebody in: never whether a name is known."""

from aweigh.guard.guard import Refusal
from aweigh.server.access.fields import Faults

WRONG = "Name or password is not right. Check both, also Caps Lock, and try again."
NOT_YOURS = "This is not your password. Type the one that you sign in with."
TOO_LATE = "That took too long. Sign in again."
WRONG_CODE = "This code is not right, or was used before. Wait for the next one in your app and type it."
WRONG_RECOVERY = "This recovery code is not right, or was used before. Check it, or take another."


def wait_words(seconds: float) -> str:
    """How long to wait: such as ``40 seconds``, ``3 minutes``."""
    whole = max(1, round(seconds + 0.5))
    if whole < 100:
        return "1 second" if whole == 1 else f"{whole} seconds"
    return f"{-(-whole // 60)} minutes"


def too_many(refusal: Refusal) -> Faults:
    """The fault of a form that was sent too often."""
    return {"": f"Too many tries. Wait {wait_words(refusal.retry_after_s)}, then try again."}


def retry_header(refusal: Refusal) -> tuple[bytes, bytes]:
    """``Retry-After``, in whole seconds."""
    return b"retry-after", str(max(1, round(refusal.retry_after_s + 0.5))).encode()
