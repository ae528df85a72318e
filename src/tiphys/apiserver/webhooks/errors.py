"""What a call that failed is called: the words of Go's HTTP client, which users find in every manual.

Source: staging/src/k8s.io/client-go/rest/request.go, staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go.
"""

from __future__ import annotations

import errno
import json
import socket
import ssl

import msgspec

_SERVER_WORDS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_MAX_SHOWN = 2048
_X509 = {
    10: "certificate has expired or is not yet valid",
    9: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
}
_NAME_WRONG = frozenset({62, 64})
"""OpenSSL: the certificate names another host, or another address."""


class WebhookFailed(Exception):
    """A webhook could not be asked, or gave no answer that can be used. The text is upstream's."""

    def __init__(self, text: str, code: int = 503) -> None:
        super().__init__(text)
        self.code = code
        """What metrics count it as: the webhook's own status, or 503."""


def posted(url: str, why: str) -> WebhookFailed:
    """`Post "https://...": why`: the request never got an answer."""
    return WebhookFailed(f"Post {json.dumps(url, ensure_ascii=False)}: {why}")


def refused(status: int, body: bytes) -> WebhookFailed:
    """The webhook answered, but not with success."""
    told = _status_message(body)
    if told:
        return WebhookFailed(told, status)
    text = body[:_MAX_SHOWN].decode("utf-8", "replace").strip() or "unknown"
    if status in (403, 406, 415):
        words = text
    elif status in _SERVER_WORDS:
        words = _SERVER_WORDS[status]
    elif status >= 500:
        words = f"an error on the server ({json.dumps(text, ensure_ascii=False)}) has prevented the request from "
        words += "succeeding"
    else:
        words = f"the server responded with the status code {status} but did not return more information"
    return WebhookFailed(words, status)


class _Told(msgspec.Struct):
    kind: str = ""
    message: str = ""


def _status_message(body: bytes) -> str:
    """A Status speaks for itself."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return told.message[:_MAX_SHOWN] if told.kind == "Status" else ""


def words_of(error: BaseException, dialled: str, server_name: str) -> str:
    """Why a connection failed. `dialled` is `address:port`, or empty where nothing was dialled."""
    verification = _verification(error)
    if verification is not None:
        return f"tls: failed to verify certificate: x509: {_x509(verification, server_name)}"
    cause = _os_error(error)
    if isinstance(cause, socket.gaierror):
        return f"dial tcp: lookup {server_name}: no such host"
    if isinstance(cause, ssl.SSLError):
        if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
    if cause is not None and cause.errno:
        if cause.errno in (errno.ECONNRESET, errno.EPIPE):
            return f"read tcp {dialled}: read: connection reset by peer" if dialled else "connection reset by peer"
        words = (cause.strerror or str(cause)).lower()
        if cause.errno in _DIAL:
            words = _DIAL[cause.errno]
        return f"dial tcp {dialled}: connect: {words}" if dialled else f"dial tcp: {words}"
    return str(cause or error) or type(error).__name__


_DIAL = {
    errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable", errno.ETIMEDOUT: "connection timed out",
}  # fmt: skip


def _x509(error: ssl.SSLCertVerificationError, server_name: str) -> str:
    if error.verify_code in _NAME_WRONG:
        return f"certificate is not valid for any names, but wanted to match {server_name}"
    return _X509.get(error.verify_code, error.verify_message or "certificate signed by unknown authority")


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return found


def _verification(error: BaseException) -> ssl.SSLCertVerificationError | None:
    # The innermost is OpenSSL's own; frameworks wrap it in errors that only look alike.
    return next((e for e in reversed(_chain(error)) if isinstance(e, ssl.SSLCertVerificationError)), None)


def _os_error(error: BaseException) -> OSError | None:
    """The innermost: what the system, or our own resolver, said."""
    return next((e for e in reversed(_chain(error)) if isinstance(e, OSError)), None)
