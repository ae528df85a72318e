"""`kubectl patch`."""

from __future__ import annotations

import json

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE

_MEDIA = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


def run(context: Context) -> int:
    """Send the patch, which may be written as JSON or YAML."""
    options = context.options
    if options["type"] not in _MEDIA:
        raise UsageError(f'--type must be one of [json merge strategic], not "{options["type"]}"')
    text = options["patch"] or _file(options["patch-file"])
    if not text:
        raise UsageError("must specify --patch or --patch-file containing the contents of the patch")
    from tiphys.api.codec_yaml import parse_yaml

    try:
        patch, _ = parse_yaml(text.encode())
    except ValueError as error:
        raise UsageError(f'unable to parse "{text[:80]}": {error}') from error
    for target in selection.named(context):
        path = target.path(options["subresource"])
        before = context.session.get(path)
        body = json.dumps(patch).encode()
        after = context.session.send("PATCH", path, body, writing.query(context), content_type=_MEDIA[options["type"]])
        same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
        writing.tell(context, target, "patched (no change)" if same else "patched", after)
    return 0


def _file(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


COMMAND = Command(
    usage="TYPE NAME (-p PATCH | --patch-file FILE)",
    help="Change fields of an object by a strategic merge, merge or JSON patch.",
    run=run,
    flags=(
        Flag("patch", "the patch, JSON or YAML", short="p"),
        Flag("patch-file", "a file with the patch"),
        Flag("type", "strategic, merge or json", default="strategic"),
        Flag("subresource", "status or scale"),
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.field_manager("kubectl-patch"),
        *output.FLAGS,
    ),
    examples="""
patch deploy web -p '{"spec":{"replicas":2}}'
patch pod web --type=json -p '[{"op":"remove","path":"/metadata/labels/x"}]'
""",
)
