"""When a memory ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from freehold.errors import SettingsError

__all__ = ["ends_at"]

_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def ends_at(at: datetime | None, ttl_seconds: float | None) -> float | None:
    """Seconds since the epoch at which a memory ends.

    Raises:
        SettingsError: That is past, or two limits are given.
    """
    if at is not None and ttl_seconds is not None:
        raise SettingsError(f"expires_at={at} and ttl_seconds={ttl_seconds} both say when it ends: give one of them.")
    if at is not None:
        ends = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    elif ttl_seconds is not None:
        ends = time.time() + ttl_seconds
    else:
        return None
    if not time.time() < ends < _LATEST:
        given = f"expires_at={at}" if at is not None else f"ttl_seconds={ttl_seconds}"
        raise SettingsError(f"{given} is no time to come: give one before the year 9999, or None to keep it.")
    return ends
