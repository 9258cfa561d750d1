"""The compression of API Gateway: it compresses answers if an API says from which size, and takes compressed bodies.

API Gateway Developer Guide, "Payload compression for REST APIs": with `gzip` or `deflate`, whichever the caller names
first. It compresses nothing for a caller who names none, and nothing that is compressed already.
"""

import zlib

from werkzeug import Request, Response

# zlib's window size and format (its manual, `deflateInit2`).
_FORMATS = {"gzip": 31, "deflate": 15}


class UnsupportedEncoding(Exception):
    """A body has another encoding than it says, or one that API Gateway does not know."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the content of a request's body, at most one byte more than `limit`. UnsupportedEncoding says why not."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _FORMATS:
        raise UnsupportedEncoding(encoding)
    try:
        stream = zlib.decompressobj(_FORMATS[encoding])
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise UnsupportedEncoding(encoding) from error
    if not stream.eof and len(content) <= limit:
        raise UnsupportedEncoding(encoding)
    return content


def compress(response: Response, request: Request, minimum: int | None) -> Response:
    """Compress an answer of at least `minimum` bytes (None: none) if its caller accepts that; return it."""
    content, encoding = response.get_data(), _preferred(request)
    if minimum is not None and len(content) >= minimum and encoding and "Content-Encoding" not in response.headers:
        stream = zlib.compressobj(wbits=_FORMATS[encoding])
        response.set_data(stream.compress(content) + stream.flush())
        response.headers["Content-Encoding"] = encoding
    return response


def _preferred(request: Request) -> str | None:
    """Return what the caller of a request likes best, if that is an encoding that API Gateway has."""
    best = request.accept_encodings.best or ""
    return best if best in _FORMATS and request.accept_encodings.quality(best) > 0 else None
