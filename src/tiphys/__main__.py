"""`python -m tiphys` is the `tiphys` command."""

from tiphys.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
