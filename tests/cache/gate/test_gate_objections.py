"""What the gate objects to, kind by kind, and what it lets pass beside it."""

from __future__ import annotations

import pytest

from freehold.cache.gate import compare

REFUSED = {
    "number": [
        ("How do I lose 10 kg in two months?", "How do I lose 10 kg in 3 months?"),
        ("What is new in Python 3.11?", "What is new in Python 3.12?"),
        ("Who won World War I?", "Who won World War II?"),
        ("What can I buy for $30k?", "What can I buy for 40 thousand dollars?"),
        ("What are the 1000 and 2000 rupee notes?", "What are the 500/1000 rupee notes?"),
        ("What is 2+2?", "What is 2*2?"),
        ("How do I answer question ३?", "How do I answer question 4?"),
    ],
    "unit": [
        ("How far is it in miles?", "How far is it in kilometres?"),
        ("How much is it in dollars?", "How much is it in €?"),
        ("How much does it earn per month?", "How much does it earn per year?"),
        ("Is the water at 30 °C warm?", "Is the water at 30 °F warm?"),
    ],
    "date": [
        ("What happened in May?", "What happened in June?"),
        ("Is the shop open on Mondays?", "Is the shop open on Sunday?"),
        ("What is the weather today?", "What is the weather tomorrow?"),
        ("Who won last year?", "Who won next year?"),
    ],
    "name": [
        ("What is the capital of Mali?", "What is the capital of Chad?"),
        ("What do you think of Jython?", "what do you think of cython"),
        ("How do I get to New York?", "How do I get to New Jersey?"),
        ("What are the pros of Measure E?", "What are the pros of Measure L?"),
        ("Is vitamin C healthy?", "Is vitamin D healthy?"),
        ("What does 无语 mean?", "What does 装逼 mean?"),
        ('Who wrote "the raven"?', 'Who wrote "the tempest"?'),
        ("Should I learn C++ or Java?", "Should I learn C# or Java?"),
        ("What does 😀 mean?", "What does 😭 mean?"),
    ],
    "contrast": [
        ("Can dogs eat apples?", "Can cats eat apples?"),
        ("is it cheap to live in france", "is it cheap to live in spain"),
        ("How do I remove red wine stains?", "How do I remove white wine stains?"),
    ],
    "negation": [
        ("Why do birds fly?", "Why don't birds fly?"),
        ("Which foods contain sugar?", "Which foods contain no sugar?"),
        ("What do Indian men wear?", "What do non-Indian men wear?"),
    ],
    "antonym": [
        ("How do I enable it?", "How is it disabled?"),
        ("Is this mushroom edible?", "Is this mushroom inedible?"),
        ("How do I log in to Gmail?", "How do I log out of Gmail?"),
        ("How do I follow a page?", "How do I unfollow a page?"),
        ("Is the film overrated?", "Is the film underrated?"),
        ("Which herbs are useful?", "Which herbs are useless?"),
        ("Why is the file known?", "Why is the file unknown?"),
    ],
    "comparison": [
        ("What is the highest mountain?", "What is the lowest mountain?"),
        ("Who is older?", "Who is younger?"),
        ("What is the most common name?", "What is the least common name?"),
        ("Is tea better than coffee?", "Is coffee better than tea?"),
        ("How is Apple better than Samsung?", "How is Samsung better than Apple?"),
    ],
    "direction": [
        ("How do I convert dollars to rupees?", "How can I convert rupees to dollars?"),
        ("What do North Indians think about South Indians?", "What do South Indians think about North Indians?"),
        ("What can Wizards do against Muggles?", "What can Muggles do against Wizards?"),
        ("Are there trains from Rome to Milan?", "Are there trains to Rome from Milan?"),
    ],
    "addition": [
        ("How do I find a good tutor?", "How do I find a good tutor in Jaipur?"),
        ("What did it cost?", "What did it cost in 2014?"),
    ],
    "question_type": [
        ("Where is Robert Frost?", "Who is Robert Frost?"),
        ("When were cameras invented?", "Why were cameras invented?"),
    ],
}

PASSED = {
    "number": [
        ("Is it two miles?", "Is it 2 miles?"),
        ("How much is 1,00,000?", "How much is 1 lakh?"),
        ("What is the 1st step?", "What is the first step?"),
        ("Who fought in World War II?", "Who fought in World War 2?"),
        ("Which books should one read?", "Which books should I read?"),
        ("What are the best 10 films?", "What are the best films?"),
        ("Is version 2.0 out?", "Is version 2 out?"),
    ],
    "unit": [
        ("How much is 5kg of rice?", "How much is 5 kilograms of rice?"),
        ("Can I get a phone for $100?", "Can I get a phone for 100 dollars?"),
        ("How long is it in feet?", "How long is it?"),
    ],
    "date": [
        ("May I go in March?", "Can I go in March?"),
        ("Is it open on Mon?", "Is it open on Monday?"),
        ("How did they march to the sea?", "How may they have come to the sea?"),
    ],
    "name": [
        ("How tall is Obama?", "How tall is Barack Obama?"),
        ("What did President Obama say?", "What did Barack Obama say?"),
        ("Who rules the United States of America?", "Who rules the US?"),
        ("Who is the Indian prime minister?", "Who is the prime minister of India?"),
        ("What is the best film of Akira Kurosawa?", "What is Akira Kurosowa's best film?"),
        ("What is AI?", "What is Artificial Intelligence?"),
        ("Why did he leave Times Now?", "Why did he leave TimesNow?"),
        ("How Do I Learn Piano?", "how do i learn piano"),
        ("IS ROME OLD?", "Is Rome old?"),
        ("Is Pokémon a game?", "Is Pokemon a game?"),
    ],
    "negation": [
        ("Why can't I log in?", "Why am I unable to log in?"),
        ("Is it true?", "Is it true or not?"),
        ("Isn't it warm?", "Is it warm?"),
        ("How can I not sleep in class?", "How can I avoid sleeping in class?"),
        ("What are male and female, and not only male?", "What are male and female?"),
    ],
    "antonym": [
        ("Is it not safe?", "Is it unsafe?"),
        ("Is Mars bigger or smaller than Earth?", "Is Mars larger than Earth?"),
        ("What are its advantages?", "What are its merits?"),
    ],
    "comparison": [
        ("Which is better, tea or coffee?", "Is coffee or tea better?"),
        ("Is tea cheaper than milk?", "Is milk more expensive than tea?"),
        ("What is less expensive?", "What is cheaper?"),
    ],
    "direction": [
        ("How do Java and Python differ?", "How do Python and Java differ?"),
        ("How far is the sun from the earth?", "How far is the earth from the sun?"),
        ("What is the way from Rome to Milan?", "What is the way to Milan from Rome?"),
    ],
    "addition": [
        ("How do I write an essay?", "How do I write an essay in English?"),
        ("How do I prepare in one month?", "How do I prepare in 1 month?"),
    ],
    "question_type": [
        ("How do I lose weight?", "What is the best way to lose weight?"),
        ("Who is the best author?", "What is the best author?"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "asked", "stored"), [(kind, *pair) for kind, pairs in REFUSED.items() for pair in pairs]
)
def test_the_gate_objects(kind: str, asked: str, stored: str) -> None:
    """Protects from a wrong answer: each kind of difference is seen, whichever question comes first, and named."""
    found = compare(asked, stored)
    assert (found.kind, compare(stored, asked).kind) == (kind, kind)
    assert found.reason is not None
    assert found.reason.endswith(".")


@pytest.mark.parametrize(("asked", "stored"), [pair for pairs in PASSED.values() for pair in pairs])
def test_the_gate_lets_pass(asked: str, stored: str) -> None:
    """Protects hits: what looks like a difference and is none is no objection."""
    assert compare(asked, stored).reason is None
    assert compare(stored, asked).reason is None


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Comment apprendre le français ?", "Comment puis-je apprendre le français ?"),
        ("¿Cómo puedo aprender inglés?", "¿Cómo aprendo inglés?"),
        ("Wie lerne ich schnell Deutsch?", "Wie kann ich schnell Deutsch lernen?"),
        ("人工智能是什么", "什么是人工智能"),
        ("Что такое искусственный интеллект?", "Искусственный интеллект — что это такое?"),
        ("कृत्रिम बुद्धि क्या है?", "क्या है कृत्रिम बुद्धि?"),
    ],
)
def test_other_languages_are_not_refused_wholesale(asked: str, stored: str) -> None:
    """Protects users of other languages: the rules know English, and let pass what they do not know."""
    assert compare(asked, stored).kind is None
