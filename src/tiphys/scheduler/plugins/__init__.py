"""One file per scheduling plugin: a `SPEC`, array functions, and a plain-Python reference that tests compare with.

Which of them run, and in which order, says `tiphys.scheduler.profile`.
"""
