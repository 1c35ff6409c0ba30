"""`python -m freehold.cli` is `freehold`."""

from __future__ import annotations

from freehold.cli.app import main

main()
