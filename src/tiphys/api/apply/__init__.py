"""Who set which field: managedFields, and server-side apply on top of them.

    fieldset    sets of fields, in the form they travel in (FieldsV1)
    typed       what a value's fields are, by schema: extract, compare, merge, remove
    checks      whether an applied configuration fits the schema
    managers    `update_managed`: bookkeeping for create, update and patch
    serverside  `apply`: merge a configuration, find conflicts, drop what is no longer applied

Everything is pure and works on plain JSON values. Source: sigs.k8s.io/structured-merge-diff/v6,
staging/src/k8s.io/apimachinery/pkg/util/managedfields.
"""

from tiphys.api.apply.managers import update_managed
from tiphys.api.apply.serverside import apply

__all__ = ["apply", "update_managed"]
