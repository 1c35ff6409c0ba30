"""Chat templates by name, for GGUF files that hold none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["NAMED_TEMPLATES", "NamedTemplate"]


@dataclass(frozen=True)
class NamedTemplate:
    """A chat form that many models share. A system message is put before the user's where the form has none."""

    source: str
    """Jinja, with `messages`, `eos_token` and `add_generation_prompt`."""
    stop: tuple[str, ...] = ()
    """Ends a turn also in a vocabulary that does not know it as a token."""


NAMED_TEMPLATES: Mapping[str, NamedTemplate] = MappingProxyType(
    {
        "chatml": NamedTemplate(
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
            ("<|im_end|>",),
        ),
        "gemma": NamedTemplate(
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
            "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
            "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
            ("<end_of_turn>",),
        ),
        "llama3": NamedTemplate(
            "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}"
            "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>"
            "\n\n{% endif %}",
            ("<|eot_id|>",),
        ),
        "mistral": NamedTemplate(
            "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
            "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
            "{% else %}{{ raise_exception('no role ' + m.role) }}{% endif %}{% endfor %}",
        ),
        "phi3": NamedTemplate(
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
            ("<|end|>",),
        ),
        "zephyr": NamedTemplate(
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ),
    }
)
