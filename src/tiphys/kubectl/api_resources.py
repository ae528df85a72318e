"""`kubectl api-resources`."""

from __future__ import annotations

from tiphys.kubectl import output
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag


def run(context: Context) -> None:
    """One line per kind, sorted by group and name."""
    options = context.options
    kinds = [
        kind
        for kind in context.resources.all()
        if (not options["namespaced"] or kind.namespaced == (options["namespaced"] == "true"))
        and (not options["api-group"] or kind.group == options["api-group"])
        and set(options["verbs"]) <= set(kind.verbs)
        and (not options["categories"] or set(options["categories"]) & set(kind.categories))
    ]
    kinds.sort(key=lambda kind: (kind.group, kind.plural))
    if options["output"] == "name":
        for kind in kinds:
            print(f"{kind.plural}.{kind.group}" if kind.group else kind.plural)
        return
    rows = [] if options["no-headers"] else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    wide = options["output"] == "wide"
    if wide and rows:
        rows[0] += ["VERBS", "CATEGORIES"]
    for kind in kinds:
        row = [kind.plural, ",".join(kind.short_names), kind.api_version, str(kind.namespaced).lower(), kind.kind]
        rows.append(row + ([",".join(kind.verbs), ",".join(kind.categories)] if wide else []))
    output.print_rows(rows)


COMMAND = Command(
    usage="[flags]",
    help="Print the supported API resources on the server.",
    run=run,
    flags=(
        Flag("output", "wide or name", short="o"),
        Flag("namespaced", "only namespaced (true) or cluster-wide (false) kinds"),
        Flag("api-group", "only this group"),
        Flag("verbs", "only kinds with all these verbs", kind="list"),
        Flag("categories", "only kinds in these categories", kind="list"),
        Flag("no-headers", "no line of titles", kind="bool"),
    ),
)
