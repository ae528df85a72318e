"""`kubectl certificate approve` and `kubectl certificate deny`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tiphys.kubectl import output, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.resources import Target

_TYPES = {"approve": ("Approved", "KubectlApprove", "approved"), "deny": ("Denied", "KubectlDeny", "denied")}
_OPPOSITE = {"Approved": "Denied", "Denied": "Approved"}


def run(context: Context) -> int:
    """The first word says which, the rest of which requests."""
    if not context.words or context.words[0] not in _TYPES:
        raise UsageError("certificate needs one of: approve, deny")
    if len(context.words) < 2:
        raise UsageError("one or more CSRs must be specified as <name> or -f <filename>")
    condition, reason, done = _TYPES[context.words[0]]
    kind = context.resources.find("certificatesigningrequests")
    for word in context.words[1:]:
        target = Target(kind, word.rpartition("/")[2])
        path = kind.path("", target.name)
        csr = context.session.get(path)
        after = csr
        if decided(csr, condition, reason):
            after = context.session.send("PUT", f"{path}/approval", csr)
        writing.tell(context, target, done, after)
    return 0


def decided(csr: dict[str, Any], condition: str, reason: str) -> bool:
    """Note the decision on the request; False where it is there. Raises UsageError where it is the other one."""
    status = csr.setdefault("status", {})
    known = status.setdefault("conditions", [])
    if any(each["type"] == _OPPOSITE[condition] for each in known):
        raise UsageError(f"certificate signing request {csr['metadata']['name']!r} is already {_OPPOSITE[condition]}")
    if any(each["type"] == condition for each in known):
        return False
    action = "approve" if condition == "Approved" else "deny"
    known.append({
        "type": condition, "status": "True", "reason": reason,
        "message": f"This CSR was {condition.lower()} by kubectl certificate {action}.",
        "lastUpdateTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    })  # fmt: skip
    return True


COMMAND = Command(
    usage="approve NAME ... | deny NAME ...",
    help="Approve or deny certificate signing requests.",
    run=run,
    flags=(output.OUTPUT,),
    examples="certificate approve node-3",
)
