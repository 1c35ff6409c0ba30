"""Train the demonstration model, or go on training it, until a given time.

python -m tools.demo_model.train chunks.jsonl FOLDER --start weights.pt --tokenizer tokenizer.json --minutes 90

The learning rate follows the clock, not a number of steps, so that a machine that is busy with other work ends in time.
A checkpoint is written every 250 steps and at the end as FOLDER/checkpoint.pt.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import Chunk, read_chunks
from .examples import Examples
from .model import LAYERS, VOCABULARY, DemoModel, grow
from .packing import Packed, collate, pack

__all__ = ["main"]

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_HELD_OUT = 1000
"""The first chunks of the file are never trained on."""


def _tokenizer(path: Path, chunks: list[Chunk]) -> Tokenizer:
    """The tokenizer in the file, or a byte-level BPE of 4,096 tokens learnt from the chunks and written there."""
    if path.exists():
        return Tokenizer.from_file(str(path))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator((chunk.text() for chunk in chunks), trainer)
    tokenizer.save(str(path))
    return tokenizer


def _batches(pool: list[Packed], budget: int, rng: random.Random) -> list[list[Packed]]:
    """Packed groups of like length together, at most `budget` tokens a batch with padding, in random order."""
    batches: list[list[Packed]] = []
    for packed in sorted(pool, key=lambda one: len(one.tokens)):
        if batches and (len(batches[-1]) + 1) * len(packed.tokens) <= budget:
            batches[-1].append(packed)
        else:
            batches.append([packed])
    rng.shuffle(batches)
    return batches


def _loss(model: DemoModel, rows: list[Packed]) -> tuple[torch.Tensor, float, int]:
    """Weighted cross-entropy summed over a batch, its plain sum over the answers, and how many tokens those are."""
    tokens, positions, mask, targets, weights = collate(rows)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(tokens, positions, mask)
        # Logits only where something counts: over the whole prompt they would cost as much as a layer.
        chosen = weights > 0
        logits = F.linear(hidden[chosen], model.e.weight)
    losses = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    answer = weights[chosen] >= 1
    return (losses * weights[chosen]).sum(), float(losses.detach()[answer].sum()), int(answer.sum())


class _Feed:
    """Batches of packed groups, made as they are needed: no example comes twice."""

    def __init__(self, examples: Examples, tokenizer: Tokenizer, limit: int, seed: int) -> None:
        self._examples, self._tokenizer, self._limit = examples, tokenizer, limit
        self._rng = random.Random(seed)
        self._pool: list[list[Packed]] = []

    def step(self, tokens: int) -> list[list[Packed]]:
        """Batches for one step, of at least this many tokens together."""
        out: list[list[Packed]] = []
        while sum(len(row.tokens) for batch in out for row in batch) < tokens:
            if not self._pool:
                made = [pack(self._examples.group(), self._tokenizer, self._rng, self._limit) for _ in range(192)]
                self._pool = _batches([one for one in made if one], 4096, self._rng)
            out.append(self._pool.pop())
        return out


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chunks", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--start", type=Path, help="weights or a checkpoint to go on from; without it, from nothing")
    parser.add_argument("--tokenizer", type=Path, required=True, help="learnt and written there where it is missing")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--peak", type=float, default=6e-4, help="highest learning rate; 1.5e-3 from nothing")
    parser.add_argument("--step-tokens", type=int, default=7000)
    parser.add_argument("--limit", type=int, default=800, help="most tokens in a dialogue")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _save(model: DemoModel, optimizer: torch.optim.Optimizer, step: int, path: Path) -> None:
    """Write the checkpoint whole or not at all: the process may be stopped at any time."""
    torch.save({"m": model.state_dict(), "o": optimizer.state_dict(), "step": step}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def main() -> None:
    """Train until the minutes are over, then write the checkpoint."""
    arguments = _arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    chunks = read_chunks(arguments.chunks)[_HELD_OUT:]
    tokenizer = _tokenizer(arguments.tokenizer, chunks)
    model = DemoModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.peak, betas=(0.9, 0.95), weight_decay=0.1)
    step, warm = 0, 60
    if arguments.start:
        saved = torch.load(arguments.start, map_location="cpu")
        weights = {name: value.float() for name, value in saved.get("m", saved).items()}
        grown = f"b.{LAYERS - 1}.q.weight" not in weights
        # Older weights carry the tables of the rotary embedding too; they are computed here.
        model.load_state_dict(grow(weights) if grown else weights, strict=False)
        step = saved.get("step", 0)
        if "o" in saved and not grown:
            optimizer.load_state_dict(saved["o"])
            warm = 1
    # Another seed where training goes on, or it would see the same examples again.
    seed = arguments.seed + step
    feed = _Feed(Examples(chunks, seed), tokenizer, arguments.limit, seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.folder / "checkpoint.pt"
    first, started, reported = step, time.time(), time.time()
    answers, read, summed = 0, 0, 0.0
    while (progress := (time.time() - started) / (arguments.minutes * 60)) < 1:
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = arguments.peak * min(1, (step - first + 1) / warm) * cosine
        optimizer.zero_grad()
        batches = feed.step(arguments.step_tokens)
        counted = sum(weight for batch in batches for row in batch for weight in row.weights)
        for batch in batches:
            loss, plain, count = _loss(model, batch)
            (loss / counted).backward()
            summed, answers = summed + plain, answers + count
            read += sum(len(row.tokens) for row in batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 25 == 0:
            now = time.time()
            speed, rate = read / (now - reported), optimizer.param_groups[0]["lr"]
            print(f"{step} answer loss {summed / answers:.3f} rate {rate:.1e} tokens/s {speed:.0f}", flush=True)
            answers, read, summed, reported = 0, 0, 0.0, now
        if step % 250 == 0:
            _save(model, optimizer, step, checkpoint)
    _save(model, optimizer, step, checkpoint)
    print(f"{step - first} steps, {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
