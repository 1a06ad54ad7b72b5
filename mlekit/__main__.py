"""``python -m mlekit`` is the command ``mlekit``."""

from mlekit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
