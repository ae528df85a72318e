"""`kubectl create`: from manifests, or from a few words (`create deployment web --image=nginx`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.generators import FLAGS, GENERATORS
from tiphys.kubectl.manifests import FILENAME, RECURSIVE


def run(context: Context) -> int:
    """Send what the manifests or the words describe; the exit code is 1 when one object was refused."""
    if context.options["filename"]:
        return selection.each(context, lambda _context, _target, obj: _send(context, obj))
    made = _generated(context)
    if isinstance(made, str):
        print(made)
    else:
        _send(context, made)
    return 0


def _send(context: Context, obj: dict[str, Any]) -> None:
    send(context, obj)


def send(context: Context, obj: dict[str, Any], *, done: str = "created", tells: bool = True) -> dict[str, Any]:
    """POST one object and tell; the object as it is then. Raises ServerError."""
    target = selection.placed(context, obj)
    after = obj
    if writing.dry_run(context) != "client":
        after = context.session.send("POST", target.type.path(target.namespace), obj, writing.query(context))
    if tells:
        name = after["metadata"].get("name") or obj["metadata"]["generateName"]
        writing.tell(context, replace(target, name=name), done, after)
    return after


def _generated(context: Context) -> dict[str, Any] | str:
    if not context.words:
        raise UsageError("must specify one of -f and -k, or what to create (deployment, configmap, secret, ...)")
    word, *names = context.words
    make = GENERATORS.get(word)
    if make is None:
        raise UsageError(f"cannot create {word!r} from words; use -f, or one of: {', '.join(sorted(GENERATORS))}")
    return make(context, names)


COMMAND = Command(
    usage="-f FILENAME | (deployment|configmap|secret|namespace|job|service|role|token|...) NAME [flags]",
    help="Create objects from manifests or from a few words: " + ", ".join(sorted(GENERATORS)) + ".",
    run=run,
    flags=(
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.VALIDATE,
        writing.field_manager("kubectl-create"),
        *output.FLAGS,
        *FLAGS,
    ),
    examples="""
create -f web.yaml
create deployment web --image=hello:1 --replicas=3
create configmap site --from-file=index.html --from-literal=mode=fast
create job once --image=busybox:1 -- date
create quota small --hard=pods=10,requests.cpu=2
create token default --duration=1h
""",
)
