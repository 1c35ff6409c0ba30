"""Function words: those that hold a question together and do not say what it is about."""

from __future__ import annotations

from freehold.cache.gate.word_sets import word_set

__all__ = ["AUXILIARIES", "FUNCTION_WORDS", "LIGHT_WORDS"]

AUXILIARIES = word_set(
    "am is are was were be been being do does did doing done have has had having will would shall should can could "
    "may might must ought"
)
LIGHT_WORDS = AUXILIARIES | word_set(
    """
    a an the this that these those some any each every such
    i you he she it we they me him her us them my your his its our their one ones u ur
    what which who whom whose when where why how
    so very too really actually exactly just even ever also much many please then kindly there
    """
)
"""Words that may differ while the same things are said in the same order."""
FUNCTION_WORDS = LIGHT_WORDS | word_set(
    """
    either own same few other others another more most less least only else
    mine yours hers ours theirs myself yourself himself herself itself ourselves themselves
    someone somebody anyone anybody everyone everybody
    need get got gets getting let s t d m ll re ve
    whether if and or but nor than as because since while although though vs versus etc eg ie
    of in on at by for with about against between into through during before after above below to from up down out off
    over under again further once here within without upon onto across along among around behind beside beyond near per
    via toward towards like
    not no never none nothing neither nobody nowhere cannot except excluding non hardly
    thanks hi hello hey ok okay
    """
)
"""Words that are never counted as content."""
