"""For all tests: examples have no time limit (speed is for benchmarks); one that fails says how to have it again."""

from hypothesis import settings

settings.register_profile("tiphys", deadline=None, print_blob=True)
settings.load_profile("tiphys")
