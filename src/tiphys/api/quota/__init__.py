"""What objects cost, counted as resource quotas count it: used by admission, before, and by the controller, after.

Pure: no I/O, no clock. `amounts` reads and writes quantities, `scopes` says which objects a quota is about,
`evaluators` what an object uses, `charge` whether it fits.
"""
