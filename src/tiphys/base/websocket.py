"""The server's half of a WebSocket handshake. Source: RFC 6455, section 4.2.2."""

from __future__ import annotations

import base64
import hashlib

VERSION = "13"
"""What a client must ask for in Sec-WebSocket-Version."""
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accepted(key: str, protocol: str) -> bytes:
    """The answer to a client with this Sec-WebSocket-Key, with the subprotocol that was chosen, if any."""
    digest = hashlib.sha1((key + _GUID).encode("latin-1", "replace"), usedforsecurity=False).digest()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}")
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
