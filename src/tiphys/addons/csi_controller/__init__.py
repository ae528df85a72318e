"""What a CSI driver needs beside it: volumes made, deleted, attached, grown and modified as the API asks.

Does the work of external-provisioner, -attacher and -resizer for one driver, with their annotations, finalizers and
events, so that drivers that bring their own sidecars and drivers that have none work alike.
"""
