"""SPDY/3.1 frames, as far as Kubernetes' streams need them. They never trust the other side's lengths.

Source: the SPDY protocol draft 3.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DATA, SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, HEADERS = 0, 1, 2, 3, 6, 7, 8
FIN = 1
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 5
"""Why a stream is reset."""
LARGEST_CONTROL = 64 * 1024
"""Bytes of a control frame; data frames come in pieces and may be of any size."""
LARGEST_HEADERS = 64 * 1024
"""Bytes of a header block when it is decompressed."""
_CONTROL = 0x80030000
_HEADERS_AT = {SYN_STREAM: 10, SYN_REPLY: 4, HEADERS: 4}

_NAMES = (
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,"
    "accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-encoding,"
    "content-language,content-length,content-location,content-md5,content-range,content-type,date,"
    "etag,expect,expires,from,host,if-match,if-modified-since,if-none-match,if-range,"
    "if-unmodified-since,last-modified,location,max-forwards,pragma,proxy-authenticate,"
    "proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,"
    "user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,url,"
    "public,set-cookie,keep-alive,origin"
)
_VALUES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 No"
    "n-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403"
    " Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Fe"
    "b Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunke"
    "d,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/"
    "javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def dictionary() -> bytes:
    """What header blocks are compressed against."""
    names = (name.encode() for name in _NAMES.split(","))
    return b"".join(struct.pack(">I", len(name)) + name for name in names) + _VALUES.encode()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, or a piece of a data frame. `stream` is the ping's id in a PING."""

    kind: int
    stream: int
    flags: int
    data: bytes

    @property
    def ends(self) -> bool:
        """Is it the stream's last one?"""
        return bool(self.flags & FIN)


class Framer:
    """Both directions of one connection: header compression has state."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = self._flags = self._left = 0  # of the data frame that is being read
        self._inflate = zlib.decompressobj(zdict=dictionary())
        self._deflate = zlib.compressobj(zdict=dictionary())

    def feed(self, data: bytes) -> Iterator[Frame]:
        """What these bytes bring. Raises ValueError when it is not SPDY, or too large."""
        self._buffer += data
        while self._buffer:
            if self._left:
                yield self._piece()
                continue
            if len(self._buffer) < 8:
                return
            word, rest = struct.unpack(">II", self._buffer[:8])
            flags, size = rest >> 24, rest & 0xFFFFFF
            if not word >> 31:
                del self._buffer[:8]
                self._stream, self._flags, self._left = word, flags, size
                if not size:
                    yield Frame(DATA, word, flags, b"")
                continue
            if word & 0xFFFF0000 != _CONTROL or not 4 <= size <= LARGEST_CONTROL:
                raise ValueError(f"a control frame of version {word >> 16 & 0x7FFF} and {size} bytes")
            if len(self._buffer) < 8 + size:
                return
            body = bytes(self._buffer[8 : 8 + size])
            del self._buffer[: 8 + size]
            yield Frame(word & 0xFFFF, struct.unpack(">I", body[:4])[0] & 0x7FFFFFFF, flags, body)

    def _piece(self) -> Frame:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(piece)
        return Frame(DATA, self._stream, 0 if self._left else self._flags, piece)

    def headers(self, frame: Frame) -> Mapping[str, str]:
        """The headers that a frame carries; every such frame must be read, in order. Raises ValueError."""
        if frame.kind not in _HEADERS_AT:
            return {}
        try:
            block = self._inflate.decompress(frame.data[_HEADERS_AT[frame.kind] :], LARGEST_HEADERS)
            if self._inflate.unconsumed_tail:
                raise ValueError(f"a header block of more than {LARGEST_HEADERS} bytes")
            position, out = 4, {}
            for _ in range(struct.unpack(">I", block[:4])[0]):
                name, position = _text(block, position)
                out[name.lower()], position = _text(block, position)
        except (zlib.error, struct.error) as error:
            raise ValueError(f"a header block cannot be read: {error}") from error
        return out

    def reply(self, stream: int) -> bytes:
        """A SYN_REPLY without headers."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return struct.pack(">III", _CONTROL | SYN_REPLY, 4 + len(block), stream) + block


def data_frame(stream: int, data: bytes = b"", *, end: bool = False) -> bytes:
    """A data frame; `end` says that it is the last."""
    return struct.pack(">II", stream, (FIN << 24 if end else 0) | len(data)) + data


def reset_frame(stream: int, status: int) -> bytes:
    """A RST_STREAM, for one of the reasons above."""
    return struct.pack(">IIII", _CONTROL | RST_STREAM, 8, stream, status)


def goaway_frame(last: int) -> bytes:
    """A GOAWAY: `last` is the last stream that was taken; all is well."""
    return struct.pack(">IIII", _CONTROL | GOAWAY, 8, last, 0)


def ping_frame(identity: int) -> bytes:
    """The answer to a PING."""
    return struct.pack(">III", _CONTROL | PING, 4, identity)


def _text(block: bytes, position: int) -> tuple[str, int]:
    size = struct.unpack(">I", block[position : position + 4])[0]
    end = position + 4 + size
    if end > len(block):
        raise ValueError("a header block ends too early")
    return block[position + 4 : end].decode(errors="replace"), end
