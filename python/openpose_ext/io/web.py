"""Files at addresses of the web, as bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from openpose_ext.errors import SourceError

__all__ = ["fetched", "is_web", "local_path", "opened_at", "without_secrets"]

_PATIENCE = 10.0  # seconds that a server may take to answer, as for streams in `container`
_MOST_BYTES = 1 << 30  # no picture is larger
_HOST = r"(\[[^\]]*\]|[^:@]*)(:\d*)?"  # and perhaps its port


def is_web(name: str) -> bool:
    """Whether a name is an http or https address."""
    return name.lower().startswith(("http://", "https://"))


def without_secrets(address: str) -> str:
    """An address without user, password, query and fragment."""
    scheme, _, rest = address.partition("://")
    host = re.split(r"[/?#]", rest)[0]
    # A password may contain characters that end the host; then no port follows the colon.
    hidden = host.rfind("@") if "@" in host or re.fullmatch(_HOST, host) else rest.rfind("@")
    return f"{scheme}://" + re.split(r"[?#]", rest[hidden + 1 :])[0]


def local_path(name: str) -> str:
    """The path of a `file://...` address; other names unchanged."""
    if not name.lower().startswith("file://"):
        return name
    parts = urlsplit(name)
    from urllib.request import url2pathname

    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{name}: files of another machine cannot be read; use file:///path")
    return url2pathname(parts.path)


def fetched(address: str) -> bytes:
    """The bytes of a file on the web. Raises SourceError, with the reason, if it cannot be read."""
    with opened_at(address) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise SourceError(f"{without_secrets(address)}: it is larger than {_MOST_BYTES >> 30} GB")
    return data


@contextmanager
def opened_at(address: str) -> Iterator[IO[bytes]]:
    """Open a file on the web for reading. Errors inside the block become SourceError, too."""
    # Imported here: with TLS these take 8 MB and 20 ms, and most runs read local files only.
    from http import HTTPStatus
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    parts, shown = urlsplit(address), without_secrets(address)
    headers = {"User-Agent": "openpose_ext"}  # some servers refuse urllib's own name
    if parts.username is not None:  # urllib takes no user from an address
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    try:
        with urlopen(Request(urlunsplit(parts), headers=headers), timeout=_PATIENCE) as file:
            yield file
    except HTTPError as error:
        with error:
            phrase = error.reason or HTTPStatus(error.code).phrase
            raise SourceError(f"{shown}: the server says {error.code} {phrase}") from error
    except URLError as error:
        why = error.reason
        if isinstance(why, TimeoutError):
            raise SourceError(f"{shown}: no answer in time") from error
        raise SourceError(f"{shown}: cannot be reached: {_clause(why)}") from error
    except TimeoutError as error:
        raise SourceError(f"{shown}: no answer in time") from error
    except (OSError, HTTPException, ValueError) as error:
        raise SourceError(f"{shown}: it cannot be read: {_clause(error)}") from error


def _clause(why: object) -> str:
    if isinstance(why, OSError):
        import socket

        if isinstance(why, socket.gaierror):
            return "unknown host, or no network"
        return why.strerror or str(why)
    return str(why) or type(why).__name__
