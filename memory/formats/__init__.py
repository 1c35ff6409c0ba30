"""What each kind of file says, as text: one format, one file."""

from __future__ import annotations
