"""Guardrails: verdicts, personal-data masking, and rails on NeMo Guardrails' configuration and rail library."""

from __future__ import annotations

from freehold.guardrails.disguises import disguises
from freehold.guardrails.known_attacks import KnownAttacks
from freehold.guardrails.normalise import normalise
from freehold.guardrails.personal_data import KINDS, Masked, PersonalDataMasker
from freehold.guardrails.rails import Rails
from freehold.guardrails.rails_config import DEFAULT_CONFIG
from freehold.guardrails.verdict import Guardrail, Verdict

__all__ = [
    "DEFAULT_CONFIG",
    "KINDS",
    "Guardrail",
    "KnownAttacks",
    "Masked",
    "PersonalDataMasker",
    "Rails",
    "Verdict",
    "disguises",
    "normalise",
]
