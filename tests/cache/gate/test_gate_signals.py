"""The soft signals that a calibration weighs."""

from __future__ import annotations

import pytest

from freehold.cache.gate import Comparison, compare


def test_a_repeat_has_nothing_apart() -> None:
    """Protects the calibration's zero: the same question has all in common."""
    assert compare("Is Rome old?", "Is Rome old?") == Comparison(same_words=True)
    assert compare("Is Rome old?", "is rome OLD") == Comparison(same_words=True)


def test_what_only_one_question_has_is_counted() -> None:
    """Protects the counts: words of either side, each way round."""
    found = compare("How do I train a dog in Oslo?", "How do I train an old dog, quickly, in 3 weeks?")
    assert (found.extra, found.replaced) == (5, 1)
    back = compare("How do I train an old dog, quickly, in 3 weeks?", "How do I train a dog in Oslo?")
    assert (found.extra, found.replaced, found.order) == (back.extra, back.replaced, back.order)


def test_slips_and_forms_do_not_count() -> None:
    """Protects paraphrases with a misspelt word: it is no word more."""
    assert compare("How do I train my labrador?", "How do I train my labradro?").extra == 0


def test_order() -> None:
    """Protects the order: 1 where the shared words stand alike, less where they moved."""
    assert compare("Which red wine is best?", "Which red wine would be best?").order == 1
    assert compare("wine red best", "best red wine").order == pytest.approx(1 / 3)
    assert compare("", "wine").order == 1


def test_types() -> None:
    """Protects what is too weak to refuse for: another interrogative."""
    found = compare("Why is it not available in the whole country?", "Is it available everywhere abroad?")
    assert (found.kind, found.types_differ) == (None, True)
    assert not compare("How do I get there?", "What is the best way to get there?").types_differ
