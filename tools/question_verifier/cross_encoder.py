"""A cross-encoder on two processor cores: bfloat16 for the arithmetic, float32 for the weights that are learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

from .dropout import replace_dropout
from .pairs import Pair

__all__ = ["WORDS", "CrossEncoder"]

WORDS = gguf.GGMLQuantizationType.Q5_0
"""How the file holds the vectors of the word pieces, which are half of it."""

_LONGEST = 80
"""Tokens of a pair; what is longer is cut."""


class CrossEncoder:
    """A transformer that reads `[CLS] a [SEP] b [SEP]`, token types all zero, and gives one logit.

    llama.cpp runs BERT with token types zero, so that is how it learns.

    Args:
        folder: Configuration, tokenizer and weights, as transformers writes them.
        dropout: Share of the hidden values dropped while learning; attention drops none.
    """

    @torch.no_grad()
    def __init__(self, folder: Path, *, dropout: float = 0.1) -> None:
        logging.set_verbosity_error()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.net = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=1,
            attn_implementation="eager",
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=0.0,
            dtype=torch.float32,
        )
        # Words that no training text holds must stay comparable to those that some do: their vectors do not move. They
        # are rounded as the file will hold them, so that the layers learn from what they will read.
        words = self.net.get_input_embeddings().weight.requires_grad_(requires_grad=False)
        words.copy_(torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(words.numpy(), WORDS), WORDS)))
        self.masters = {
            name: weight.detach().clone() for name, weight in self.net.named_parameters() if weight.requires_grad
        }
        replace_dropout(self.net)
        self.net.to(torch.bfloat16)

    def batch(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        """Token ids and mask of some pairs, padded to the longest."""
        encoded = self.tokenizer(
            [pair.a for pair in pairs],
            [pair.b for pair in pairs],
            truncation=True,
            max_length=_LONGEST,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        return dict(encoded)

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """How many tokens each pair has."""
        texts = [pair.a for pair in pairs], [pair.b for pair in pairs]
        return [len(tokens) for tokens in self.tokenizer(*texts, truncation=True, max_length=_LONGEST)["input_ids"]]

    def logits(self, pairs: Sequence[Pair]) -> torch.Tensor:
        """One logit for each pair, with its gradient where one is wanted."""
        logits: torch.Tensor = self.net(**self.batch(pairs)).logits
        return logits.float().squeeze(-1)

    @torch.inference_mode()
    def score(self, pairs: Sequence[Pair], size: int = 64) -> NDArray[np.float64]:
        """The logits of any number of pairs, in their order, without dropout."""
        was_training = self.net.training
        self.net.eval()
        out = np.zeros(len(pairs))
        order = np.argsort(self.lengths(pairs), kind="stable").tolist()
        for start in range(0, len(order), size):
            places = order[start : start + size]
            out[places] = self.logits([pairs[place] for place in places]).numpy()
        self.net.train(was_training)
        return out

    def learnt(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each weight as it is learnt, with the one that the arithmetic uses."""
        used = dict(self.net.named_parameters())
        for name, master in self.masters.items():
            yield master, used[name]

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over weights as they are learnt."""
        for name, value in weights.items():
            self.masters[name].copy_(value)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the weights that the arithmetic uses up to those that were learnt."""
        for master, used in self.learnt():
            used.copy_(master)

    def save(self, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
        """Write everything as transformers reads it, with these weights instead of the learnt ones if given."""
        state = {name: value.float() for name, value in self.net.state_dict().items()}
        state.update(weights or self.masters)
        self.net.save_pretrained(folder, state_dict=state)
        self.tokenizer.save_pretrained(folder)
