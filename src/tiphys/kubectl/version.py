"""`kubectl version`."""

from __future__ import annotations

from tiphys import __version__
from tiphys.kubectl import output
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag


def run(context: Context) -> None:
    """The versions of both ends; a server that is not there is an error after the client's line."""
    client = {"gitVersion": f"v1.36.2+tiphys-{__version__}", "major": "1", "minor": "36"}
    if context.options["output"]:
        answer = {"clientVersion": client}
        if not context.options["client"]:
            answer["serverVersion"] = context.session.get("/version")
        output.show(context, [answer], listed=False)
        return
    print(f"Client Version: {client['gitVersion']}", flush=True)
    if not context.options["client"]:
        print(f"Server Version: {context.session.get('/version')['gitVersion']}")


COMMAND = Command(
    usage="[--client]",
    help="Print the client and server version information.",
    run=run,
    flags=(Flag("client", "only the client's", kind="bool"), Flag("output", "json or yaml", short="o")),
)
