"""Freehold's own rails as NeMo Guardrails actions. Loaded by NeMo's catalog; importing it imports nemoguardrails."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nemoguardrails import RailsConfig
from nemoguardrails.actions.rail_outcome import RailOutcome, TransformTarget

from freehold.errors import GuardrailError
from freehold.guardrails.known_attacks import KnownAttacks
from freehold.guardrails.personal_data import PersonalDataMasker
from freehold.guardrails.settings import rail_settings

__all__ = ["EMBEDDINGS", "check_known_attacks", "mask_personal_data"]

EMBEDDINGS = "known_attacks"
"""The model type under which the executor hands the examples to `check_known_attacks`."""


@lru_cache(maxsize=8)
def _masker(kinds: tuple[str, ...]) -> PersonalDataMasker:
    return PersonalDataMasker(kinds)


async def mask_personal_data(source: str, text: str, config: RailsConfig) -> RailOutcome:
    """Replace personal data and secrets by their kind."""
    settings = rail_settings(config.custom_data).personal_data
    if settings is None:
        raise GuardrailError("The masking rail has no `custom_data.freehold.personal_data`.")
    kinds = settings.input if source == "input" else settings.output
    masked = _masker(kinds).mask(text)
    if not masked.found:
        return RailOutcome.allow()
    target = TransformTarget.USER_MESSAGE if source == "input" else TransformTarget.BOT_MESSAGE
    return RailOutcome.transform([(target, masked.text)], metadata={"found": masked.found})


async def check_known_attacks(text: str, config: RailsConfig, llms: Mapping[str, Any], model_name: str) -> RailOutcome:
    """Block a text that means what a known attack means."""
    settings = rail_settings(config.custom_data).known_attacks
    attacks: KnownAttacks = llms[model_name]
    if settings is None:
        raise GuardrailError("The rail of known attacks has no `custom_data.freehold.known_attacks`.")
    score = await attacks.score(text)
    metadata = {"score": round(score, 4), "threshold": settings.threshold}
    if score >= settings.threshold:
        return RailOutcome.block(reason="It means what a known attack means.", metadata=metadata)
    return RailOutcome.allow(metadata=metadata)
