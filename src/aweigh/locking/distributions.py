"""Which distribution a module comes from: a short table, else what is installed here, else its own name."""

import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from aweigh.bundle.lock import SAME_IMPORT
from aweigh.bundle.requirements import canonical

KNOWN: Mapping[str, str] = {
    "attr": "attrs",
    "Bio": "biopython",
    "bs4": "beautifulsoup4",
    "community": "python-louvain",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "decouple": "python-decouple",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google.auth": "google-auth",
    "google.cloud": "google-cloud",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "grpc": "grpcio",
    "imblearn": "imbalanced-learn",
    "IPython": "ipython",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "MySQLdb": "mysqlclient",
    "nacl": "pynacl",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib",
    "pywt": "pywavelets",
    "pythoncom": "pywin32",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "shapefile": "pyshp",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "sklearn_extra": "scikit-learn-extra",
    "skopt": "scikit-optimize",
    "slugify": "python-slugify",
    "speech_recognition": "speechrecognition",
    "st_aggrid": "streamlit-aggrid",
    "tensorflow": "tensorflow-cpu",
    "umap": "umap-learn",
    "win32com": "pywin32",
    "wx": "wxpython",
    "Xlib": "python-xlib",
    "xgboost": SAME_IMPORT["xgboost"],
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Modules whose distribution has another name, and those of which one without a screen or a graphics card will do."""

CHOSEN: Mapping[str, str] = {
    "opencv-python-headless": "without the screen's libraries, which a server lacks",
    "tensorflow-cpu": "without NVIDIA's libraries",
    "xgboost-cpu": "without NVIDIA's libraries",
    "faiss-cpu": "without NVIDIA's libraries",
    "psycopg2-binary": "with the library that it needs",
}
"""Why one of several that bring the same module was taken."""

# Many distributions share these first names: the next parts are in the distribution's own name.
SHARED = {"azure": 2, "google": 2, "google.cloud": 3}

# Standard modules that some Python from 3.8 on has and another has not: none of them is to be sought on an index.
_ONCE_STANDARD = frozenset(
    "_winreg aifc annotationlib asynchat asyncore audioop binhex cgi cgitb chunk compression concurrent crypt distutils"
    " formatter graphlib imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev parser pipes pwd smtpd sndhdr spwd"
    " string sunau symbol telnetlib tomllib uu xdrlib zoneinfo".split()
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The name as a requirement has it, and how it was found."""

    name: str
    found: Literal["table", "installed", "guess"]


def is_standard(module: str) -> bool:
    """Whether a top-level module is Python's own, in this version or in another."""
    return module in sys.stdlib_module_names or module in _ONCE_STANDARD or module in {"__main__", "__future__"}


def distribution_of(module: str) -> Distribution:
    """The distribution that brings a module, by its dotted name.

    >>> distribution_of("sklearn.linear_model")
    Distribution(name='scikit-learn', found='table')
    """
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        if name in SHARED and len(parts) >= SHARED[name]:
            return Distribution(canonical("-".join(parts[: SHARED[name]])), "guess")
        if name in KNOWN:
            return Distribution(KNOWN[name], "table")
    installed = _installed().get(parts[0])
    if installed is not None:
        return Distribution(installed, "installed")
    return Distribution(canonical(parts[0]), "guess")


def misnamed(name: str) -> str | None:
    """The distribution that is meant where a requirement names a module (``sklearn``), or None."""
    known = {canonical(module): distribution for module, distribution in KNOWN.items() if "." not in module}
    meant = known.get(canonical(name))
    return meant if meant is not None and canonical(name) in _NO_DISTRIBUTION else None


_NO_DISTRIBUTION = frozenset({"sklearn", "skimage", "cv2", "pil", "yaml", "dotenv", "dateutil"})
"""Names of modules under which an index has nothing, or a package that only says that it is the wrong one."""


@cache
def _installed() -> Mapping[str, str]:
    """Top-level modules of what is installed here; of several distributions that of the same name, else the first."""
    found = {}
    for module, names in importlib.metadata.packages_distributions().items():
        canonicals = sorted({canonical(name) for name in names})
        found[module] = canonical(module) if canonical(module) in canonicals else canonicals[0]
    return found
