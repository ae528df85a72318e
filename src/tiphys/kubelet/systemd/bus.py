"""Calls to systemd and logind over the system's bus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jeepney import Message
    from jeepney.io.blocking import DBusConnection

TIMEOUT_S = 30.0


class Manager(NamedTuple):
    """One of the two, as the bus knows it."""

    path: str
    name: str

    @property
    def interface(self) -> str:
        return f"{self.name}.Manager"


SYSTEMD = Manager("/org/freedesktop/systemd1", "org.freedesktop.systemd1")
LOGIND = Manager("/org/freedesktop/login1", "org.freedesktop.login1")


class Refused(OSError):
    """The answer is an error of this D-Bus name."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def obstacle() -> str:
    """Why there is no systemd to ask, in a sentence; empty where there is."""
    if not Path("/run/systemd/system").is_dir():
        return "systemd does not run on this machine"
    if not Path("/run/dbus/system_bus_socket").exists():
        return "systemd cannot be asked: there is no system bus (Debian's package is dbus)"
    return ""


def opened(*, enable_fds: bool = False) -> DBusConnection:
    """Raises OSError."""
    from jeepney.io.blocking import open_dbus_connection

    return open_dbus_connection("SYSTEM", enable_fds=enable_fds)


def call(bus: DBusConnection, to: Manager, method: str, signature: str = "", body: tuple[Any, ...] = ()) -> Any:
    """The answer's body. Blocks. Raises Refused, OSError."""
    from jeepney import DBusAddress, new_method_call

    address = DBusAddress(to.path, to.name, to.interface)
    return ask(bus, new_method_call(address, method, signature or None, body))


def ask(bus: DBusConnection, message: Message) -> Any:
    """Likewise, for a message made otherwise."""
    from jeepney import HeaderFields, MessageType

    reply = bus.send_and_get_reply(message, timeout=TIMEOUT_S)
    if reply.header.message_type is MessageType.error:
        kind = str(reply.header.fields.get(HeaderFields.error_name, ""))
        raise Refused(kind, str(reply.body[0]) if reply.body else kind)
    return reply.body
