"""Every error that aweigh raises on purpose, and how each is told.

    AweighError
    ├── UsageError              the command or call was put wrongly                      exit 2
    ├── MissingExtra            an optional dependency is not installed                  exit 2
    ├── ConfigError             aweigh.toml, a flag or a variable says something invalid exit 2
    │   └── CannotInstall       pins that the chosen Python cannot install
    ├── DataError               a table could not be read or does not fit the schema     exit 1, HTTP 422
    │   ├── MalformedBody       the bytes are not what their content type says           HTTP 400
    │   ├── TooLarge            more bytes, rows or cells than the limit                 HTTP 413
    │   ├── UnsupportedMedia    a content type or file type nobody reads                 HTTP 415
    │   └── InvalidRows         cells, columns or rows that the schema refuses           HTTP 422
    │       └── OutsideDomain   rows beyond what the model has seen, where that is refused
    ├── HoldsSecret             what is to be given away holds a password or a key       exit 1
    ├── ModelError              the model file cannot be used                            exit 1
    │   ├── UnreadableModel     its bytes could not be understood: that is a refusal     exit 3
    │   ├── UntrustedModel      it would import what is on no list                       exit 3
    │   ├── UnsupportedModel    read, but no family here can serve it                    exit 1
    │   └── ProofFailed         no portable form gives the original's answers            exit 1
    ├── BundleError             a bundle is damaged, or is not one                       exit 3
    │   ├── DamagedBundle       a byte, a name or a size is not what the manifest says   exit 3
    │   └── UntrustedBundle     it holds code and nobody here vouched for it             exit 3
    ├── ImageError              a container image, or what lies in a registry, is not what it should be
    │   ├── DamagedImage        its bytes are not what names them, or no image at all    exit 3
    │   └── UnsuitableImage     nothing can be built on it, or run with it               exit 1
    ├── NotReady                asked for an answer before (or after) it can be given    exit 1, HTTP 503
    │   └── ModelDiffers        it does not give its own golden rows' answers
    ├── Busy                    more is asked than can be answered in time               exit 1, HTTP 503
    ├── StorageDown             where things are kept cannot be reached or used          exit 1, HTTP 503
    ├── StorageFull             where things are kept has no room left                   exit 1, HTTP 507
    ├── DamagedLog              the audit log is not as it was written                   exit 3
    └── RemoteError             the other side of the network failed                     exit 4
        ├── SourceSilent        advisories could not be asked for, or there are none     exit 4
        ├── HerokuRefused       Heroku answered with an error                            exit 4
        ├── HerokuSilent        Heroku could not be asked, or its answer broke off       exit 4
        ├── BuildFailed         the build failed there, or did not end                   exit 4
        ├── ReleaseFailed       the release phase failed there, or did not end           exit 4
        ├── NotUp               what was deployed does not come up                       exit 4
        └── AnswersDiffer       what is live does not answer as its golden rows say      exit 4

The last two are in ``targets/errors.py``, for every place; the four before them in ``targets/heroku/errors.py``, with
the sentences that they are told in. So have other places that
are asked over the network an ``errors.py`` of their own, below ``RemoteError`` (``oci/errors.py``). Eight more stand
where they arise, as a server turns them into its own answers and no command tells them: ``Unread``
(``server/body.py``), ``NoAnswer`` (``server/service.py``), ``OverBudget`` (``server/access/meter.py``), ``Refused``
(``server/problems.py``), ``SignInFailed`` (``guard/oidc/failures.py``), ``TooManyAtOnce`` (``guard/passwords.py``),
``WrongState`` (``runtime/release/state.py``) and ``AnotherModel`` (``ui/scoring.py``).

Each error carries ``code``, a stable slug for programs, and ``hint``, what to do now. Its text is one sentence
that names no path of the machine unless the user typed it.
"""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_LISTED_NAMES = 5
"""So many columns are named in a sentence; the others are counted."""


class AweighError(Exception):
    """The root of every error that aweigh raises on purpose."""

    code = "error"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def hint(self) -> str | None:
        """What to do now. Python shows it below the traceback, as in a notebook."""
        return self._hint

    @hint.setter
    def hint(self, hint: str | None) -> None:
        self._hint = hint
        self.__notes__ = [] if hint is None else [f"hint: {hint}"]


class UsageError(AweighError):
    """The command line or a call of the Python API was put wrongly."""

    code = "usage"
    exit_code = 2


class MissingExtra(AweighError):
    """An optional dependency is needed here and is not installed; the hint says what to install."""

    code = "missing_extra"
    exit_code = 2

    def __init__(self, what: str, *, extra: str) -> None:
        """``extra`` is one, or several with commas between them."""
        from aweigh.origin import install_command

        extras = extra.split(",")
        several = len(extras) > 1
        super().__init__(
            f"{what} needs {'packages that are' if several else 'a package that is'} not installed here.",
            hint=f"install aweigh with its '{extra}' extra{'s' if several else ''}: {install_command(*extras)}",
        )
        self.extra = extra


class ConfigError(AweighError):
    """aweigh.toml, an environment variable or a flag says something that cannot be."""

    code = "config"
    exit_code = 2


class CannotInstall(ConfigError):
    """Exact versions that the chosen Python cannot install; ``sentences`` says of each why, and what can."""

    code = "cannot_install"

    def __init__(self, message: str, *, sentences: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.sentences = sentences


class DataError(AweighError):
    """A table could not be read or does not fit."""

    code = "data"
    http_status = 422


class MalformedBody(DataError):
    """The bytes are not what their content type says."""

    code = "malformed_body"
    http_status = 400


class TooLarge(DataError):
    """More bytes, rows or cells than the limit."""

    code = "too_large"
    http_status = 413


class UnsupportedMedia(DataError):
    """A content type or a kind of file that nobody here reads."""

    code = "unsupported_media"
    http_status = 415


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one cell, column or row of a table.

    ``row`` counts from 0 and is None when the whole column is meant; ``column`` is None when the whole row is.
    """

    code: str
    message: str
    row: int | None = None
    column: str | None = None

    @property
    def is_whole_column_missing(self) -> bool:
        """Whether a column that the model needs is in no row."""
        return self.code == "missing_column" and self.row is None

    def document(self) -> dict[str, object]:
        """The JSON form: only what is known."""
        known = {"code": self.code, "message": self.message, "row": self.row, "column": self.column}
        return {key: value for key, value in known.items() if value is not None}


class InvalidRows(DataError):
    """Cells, columns or rows that the schema refuses; ``problems`` lists each (up to a stated limit)."""

    code = "invalid_rows"

    def __init__(self, problems: tuple[Problem, ...], *, total: int | None = None, hint: str | None = None) -> None:
        self.problems = problems
        self.total = len(problems) if total is None else total
        first, told = problems[0].message if problems else "the rows do not fit the schema", 1
        lacking = [one.column for one in problems if one.is_whole_column_missing and one.column is not None]
        if len(lacking) > 1 and problems[0].is_whole_column_missing:
            first, told = f"columns {listed(lacking)} are required", len(lacking)
        rest = self.total - told
        more = f" (and {rest} more problem{'s' if rest > 1 else ''})" if rest > 0 else ""
        super().__init__(f"{first}{more}", hint=hint)


class OutsideDomain(InvalidRows):
    """Rows that lie outside what the model has seen, and the policy refuses such; ``problems`` lists each."""

    code = "outside_domain"


class HoldsSecret(AweighError):
    """What is to be given away holds a password, a key or a token; the message says where, and never which."""

    code = "holds_secret"


class ModelError(AweighError):
    """The model file cannot be used."""

    code = "model"


class UnreadableModel(ModelError):
    """The bytes of the model file could not be understood, which counts as not trusted."""

    code = "unreadable_model"
    exit_code = 3


class UntrustedModel(ModelError):
    """The model file would import names that are on no list; nothing of it was run."""

    code = "untrusted_model"
    exit_code = 3


class UnsupportedModel(ModelError):
    """The model was read, but it is of a kind that cannot be served."""

    code = "unsupported_model"


class ProofFailed(ModelError):
    """No form of the model gave the answers of the original."""

    code = "proof_failed"


class BundleError(AweighError):
    """The bundle cannot be used."""

    code = "bundle"
    exit_code = 3


class DamagedBundle(BundleError):
    """A byte, a name or a size in the bundle is not what its manifest says, or it is no bundle at all."""

    code = "damaged_bundle"


class UntrustedBundle(BundleError):
    """The bundle holds code and nobody here has vouched for it."""

    code = "untrusted_bundle"


class ImageError(AweighError):
    """A container image, or what else lies in a registry, is not what it should be."""

    code = "image"


class DamagedImage(ImageError):
    """The bytes of a manifest or of a blob are not what names them, or no image at all."""

    code = "damaged_image"
    exit_code = 3


class UnsuitableImage(ImageError):
    """An image that nothing can be built on: without Python, for another machine, with another C library."""

    code = "unsuitable_image"


class NotReady(AweighError):
    """An answer was asked for before it can be given, or while shutting down."""

    code = "not_ready"
    http_status = 503


class ModelDiffers(NotReady):
    """The model does not give its own golden rows' answers, and never gets ready."""

    code = "model_differs"


class Busy(AweighError):
    """So much waits for the model that nothing more is let in; ``retry_after_s`` says when to come again."""

    code = "busy"
    http_status = 503

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            "More rows wait for the model than it answers in time.", hint=f"ask again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class StorageDown(AweighError):
    """Where jobs, people or sessions are kept cannot be reached or used, for the moment."""

    code = "storage_down"
    http_status = 503


class StorageFull(AweighError):
    """Where jobs, people or sessions are kept has no room left."""

    code = "storage_full"
    http_status = 507


class DamagedLog(AweighError):
    """The audit log is not as it was written: an entry was changed, removed or moved."""

    code = "damaged_log"
    exit_code = 3


class RemoteError(AweighError):
    """The other side of a network call failed."""

    code = "remote"
    exit_code = 4


class SourceSilent(RemoteError):
    """A source of advisories could not be asked, or has nothing to say: that is no "nothing found"."""

    code = "source_silent"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: the first five, and how many more there are."""
    shown = ", ".join(map(repr, names[:MAX_LISTED_NAMES]))
    more = len(names) - MAX_LISTED_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def is_full(error: OSError) -> bool:
    """Whether a file could not be written because no room is left: on the disk, or of what the user may have."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def says_full(told: str) -> bool:
    """The same of what another program says that it stumbled over."""
    return re.search(r"No space left on device|Disk quota exceeded|os error (?:28|122)\b", told) is not None
