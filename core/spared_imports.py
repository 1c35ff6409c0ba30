"""What a dependency would load though nobody here uses it."""

from __future__ import annotations

import sys
from types import FrameType

__all__ = ["spare_imports"]

_SPARED = {"fastembed": "qdrant_client.fastembed_common"}
"""Package, and the module that imports it where it is installed: onnxruntime comes with it, 40 MB and its telemetry."""


class _Spared:
    """A finder that says to one module that a package is not installed; to everybody else it says nothing."""

    def find_spec(self, name: str, *_: object) -> None:
        frame: FrameType | None = sys._getframe(1) if name in _SPARED else None  # noqa: SLF001 - the way to a caller
        while frame is not None:
            if frame.f_globals.get("__name__") == _SPARED[name]:
                raise ModuleNotFoundError(f"{name} is not loaded for {_SPARED[name]} (freehold)", name=name)
            frame = frame.f_back


def spare_imports() -> None:
    """Spare them from now on; a second call does nothing. Who wants qdrant-client's fastembed imports that first."""
    if not any(isinstance(finder, _Spared) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Spared())
