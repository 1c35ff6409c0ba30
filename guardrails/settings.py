"""What Freehold's own rails read from a configuration: `custom_data.freehold` in the config file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from freehold.errors import GuardrailError
from freehold.guardrails.personal_data import KINDS

__all__ = ["KnownAttacksSettings", "PersonalDataSettings", "RailSettings", "rail_settings"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PersonalDataSettings(_Strict):
    """Kinds of personal data that the masking rails replace."""

    input: tuple[str, ...] = KINDS
    output: tuple[str, ...] = ("PRIVATE_KEY", "API_KEY")


class KnownAttacksSettings(_Strict):
    """Examples for the rail of known attacks."""

    threshold: float = Field(gt=0, lt=1)
    """Cosine similarity from which a text counts as an attack; it depends on the embedding model."""
    attacks: tuple[str, ...] = Field(min_length=1)
    ordinary: tuple[str, ...] = ()


class RailSettings(_Strict):
    """Settings of Freehold's own rails; each rail needs its part."""

    max_characters: int = Field(default=100_000, gt=0)
    """Longer texts are blocked unread, which bounds the work of every other rail."""
    personal_data: PersonalDataSettings | None = None
    known_attacks: KnownAttacksSettings | None = None


def rail_settings(custom_data: Mapping[str, Any]) -> RailSettings:
    """Read the settings from a configuration's `custom_data`.

    Raises:
        GuardrailError: A key is not known, or a value cannot be used.
    """
    try:
        return RailSettings.model_validate(custom_data.get("freehold") or {})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise GuardrailError(
            f"`custom_data.freehold` in the guardrail configuration cannot be used: {problems}."
        ) from error
