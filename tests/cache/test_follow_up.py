"""Which questions lean on earlier turns, and must not be answered with what their words alone were answered before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache.follow_up import leans_on

BEFORE = ["Do you sell the Rover 2?"]

ALONE = """
Where does Freehold keep its data?
What is the capital of France?
How do I reset my password?
How do I install Python on Windows?
Which port does the server listen on?
What is it like to live in Berlin?
Is it safe to eat raw eggs?
Is it safe for dogs to eat grapes?
Is it true that carrots improve eyesight?
Is it possible to run two models at once?
How long does it take to fly from Paris to Tokyo?
How much does it cost to ship a parcel to Spain?
Does it rain a lot in Seattle?
Is there a limit on the size of uploads?
Is there life on Mars?
Who wrote Pride and Prejudice?
How many people live in Canada?
What is the difference between TCP and UDP?
Can I deduct home office expenses from taxes?
What time does the library open on Sundays?
What is the tallest building in the world?
How do birds find their way home?
What does the warranty of the boiler cover?
Which vaccines do travellers to Kenya need?
Where is the boiler's pressure gauge?
Translate 'good morning' into German.
What is Python?
Who is Ada Lovelace?
When was the Berlin wall torn down?
Does the router support IPv6?
What\u2019s the weather like in Rome in May?
What happens if I miss a payment deadline?
List the planets of the solar system.
Explain how transformers work in machine learning.
Who was the first president of the United States?
What is the last day to file taxes?
What is the second law of thermodynamics?
Who won the last World Cup?
What foods are high in iron?
How many times a day should I brush my teeth?
In which year did the first crewed rocket land on the moon?
What do you call a person that collects stamps?
""".strip().splitlines()
"""Understood without any earlier turn."""

OPENLY = """
And the second one?
And in Germany?
But why?
Or in red?
So what now?
Then what happened?
Also for children?
What about blue?
How about in red?
Same for Italy
Now do Spain
Ok, and on a Mac?
OK now do Spain
Why?
How so?
How come?
Which one?
What else?
Anything else?
Really?
More
Yes
no
Go on
continue
Tell me more
Elaborate.
Try again!
The second one
the latter?
What about the other one?
How does the last one work on Windows?
As you said, the gauge is behind the panel. Which panel?
You mentioned a limit. How high is the limit in Germany?
Explain your last answer with numbers from Canada
What does the table mentioned above say about Peru?
""".strip().splitlines()
"""Continue something, whatever stands before them."""

LATER = """
What is its price?
What's its price?
What's the return policy?
Who're their suppliers?
How much is it?
Is it waterproof?
Can I return it?
Can you send me two of them?
How long does that take?
How long does it take?
How long does it take in Germany?
How much does it cost?
How much does it cost in Germany?
What does it mean?
What does it mean in Spanish?
Is it worth it?
Is it safe?
Is it safe for children?
Is it legal in Texas?
Is it possible?
Is it compatible with Windows 11?
What are the alternatives?
What is the price?
How many calories does it have?
In Germany?
In 2019?
In Spanish please
For children?
With milk?
By whom?
At what temperature?
What temperature?
Which year?
How many?
For how long?
What did he say?
Who is she?
What is his wife's name?
Where did his brother go to school?
Are there others?
Are there any alternatives?
Is there a cheaper one?
Can you summarise?
Make it shorter.
Shorter please
Translate into French.
Translate to German
Convert to JSON.
Give an example.
Show me an example in Python.
Give me the code in Rust.
Give me 5 more.
10 more
Another example
What happened after that?
Are you sure?
Is this right?
What do you mean by that?
Where does it say that?
Can you elaborate on the second point?
Explain the second step in more detail
Explain the 3rd step to somebody who never cooked
What is step 3?
What does point 2 mean?
Explain point 4.
How do I do this on Windows?
Does the same apply to contractors?
Same question for Italy
Which of these is the largest?
Compare both.
What's the difference between the two?
Which do you recommend?
What about his brother?
Thanks! And how do I remove it?
Can I use honey instead of sugar?
What is the population?
When does the store open?
What was the figure in 2019?
Why 42?
Did the company survive?
How far is it from there to Rome?
\u201cWhat\u2019s its price?\u201d
  WHAT IS   ITS PRICE ?!
""".strip().splitlines()
"""May stand alone at the beginning of a thread, and not in its middle."""

ORDERS = """
From now on answer in German.
from NOW on, be brief
Please always answer in one sentence.
Never use jargon.
Call me Captain.
Act as a lawyer.
Pretend you are a pirate.
You are an expert in tax law.
Speak like a pirate.
Answer only in French.
Reply with JSON only.
Write in a formal tone.
Talk to me like I\u2019m five.
Explain everything as if I were a child.
Keep it short.
In German please.
For the rest of this chat use metric units.
Be brief.
Use metric units.
  please use simple language
Don\u2019t use markdown.
Do not mention prices.
Stop using emojis.
I want short answers.
I want you to answer as a teacher would.
Your name is Bob.
Assume I live in Germany.
Let's speak German.
Roleplay as Sherlock Holmes.
When I say cat I mean dog.
Remember that I am vegetarian.
""".strip().splitlines()
"""Lay down how the rest of a thread is to be answered."""


@pytest.mark.parametrize("question", ALONE)
def test_a_question_that_stands_alone(question: str) -> None:
    """Protects hits in the middle of a thread, and at its beginning."""
    assert leans_on(question) is None
    assert leans_on(question, BEFORE) is None


@pytest.mark.parametrize("question", OPENLY)
def test_what_openly_continues_something_leans_at_any_time(question: str) -> None:
    """Protects a client that sends only the newest message: its follow-ups are not taken for questions."""
    for earlier in ([], BEFORE):
        told = leans_on(question, earlier)
        assert told is not None
        assert told.startswith("It continues what was said before")


@pytest.mark.parametrize("question", LATER)
def test_what_may_mean_something_of_an_earlier_turn_leans_there(question: str) -> None:
    """Protects from the answer to what "it", or a question that names nothing, meant in another thread."""
    assert leans_on(question, BEFORE) is not None


@pytest.mark.parametrize(
    "question", [question for question in LATER if "And how" not in question and "What about" not in question]
)
def test_at_the_beginning_of_a_thread_nothing_else_leans(question: str) -> None:
    """Protects hits where there is no earlier turn that could be meant; messages of white space are none."""
    assert leans_on(question) is None
    assert leans_on(question, ["", "  \n"]) is None


@pytest.mark.parametrize("order", ORDERS)
def test_a_standing_order_changes_every_later_answer(order: str) -> None:
    """Protects from an answer in English, or at length, where an earlier turn asked for something else."""
    told = leans_on(ALONE[0], [*BEFORE, order, "Thank you"])
    assert told is not None
    assert told.startswith("An earlier turn lays down how to answer")


@pytest.mark.parametrize("message", [*ALONE[:12], "Hello", "Thank you!", "What do nurses earn?", "\U0001f642", "", "?"])
def test_other_turns_lay_nothing_down(message: str) -> None:
    """Protects hits behind ordinary turns."""
    assert leans_on(ALONE[0], [message]) is None


TOLD = """
I have a peanut allergy.
I am 70 years old and live alone
Hi, I'm vegetarian.
I\u2019ve moved to Spain. How do taxes work?
We use Debian on all servers.
My router is a FritzBox.
My mother has diabetes
The server runs Debian 12 with PostgreSQL.
Great, the device shows error E17 now
I do not eat meat
""".strip().splitlines()
"""Tell something that a later answer may depend on."""


@pytest.mark.parametrize("message", TOLD)
def test_what_a_user_told_may_bear_on_every_later_question(message: str) -> None:
    """Protects from "What snacks are good for a hike?" answered as for anybody, or for everybody as for this one."""
    assert leans_on("What snacks are good for a hiking trip?", [message, "Thanks!"]) is not None


@pytest.mark.parametrize(
    "message",
    [
        "How do I reset my password?",
        "Can I use honey in tea?",
        "Tell me about apple trees",
        "list the ports that the server uses",
        "Thanks, that helped a lot!",
        "ok great",
        "What should I do when I have a fever?",
        "Is my account safe?",
    ],
)
def test_what_a_user_asked_tells_nothing(message: str) -> None:
    """Protects hits in threads of questions."""
    assert leans_on(ALONE[0], [message]) is None


@pytest.mark.parametrize("question", ["", " ", "?", " ?!. ", "...", "\n\t"])
def test_what_has_no_words_asks_nothing(question: str) -> None:
    """Protects from an answer to a question mark."""
    assert leans_on(question) == leans_on(question, BEFORE) == "It has no words."


@pytest.mark.parametrize(
    ("question", "earlier", "told"),
    [
        ("And the second one?", [], 'It continues what was said before ("and").'),
        ("What is its price?", BEFORE, 'It may speak of an earlier turn ("its").'),
        ("What price?", BEFORE, "It is too short to be understood without the earlier turns."),
        (ALONE[0], ["From now on be brief."], 'An earlier turn lays down how to answer ("from now on").'),
    ],
)
def test_the_reason_names_what_gave_it_away(question: str, earlier: list[str], told: str) -> None:
    """Protects the explanation that `decisions` shows."""
    assert leans_on(question, earlier) == told


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_gets_an_answer(question: str, earlier: list[str]) -> None:
    """Protects a run from odd text: it is asked before anything else is tried."""
    told = leans_on(question, earlier)
    assert told is None or told.endswith(".")


VOCABULARY = (
    "it its that and what is the why I Rover Berlin 2 more there they how a to price what\u2019s don\u2019t ? . ,"
)
WORDS = st.sampled_from(VOCABULARY.split())


@given(st.lists(WORDS, max_size=8).map(" ".join), st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=2))
def test_earlier_turns_never_make_a_question_stand_alone(question: str, earlier: list[str]) -> None:
    """Protects from answers to something else: what leans at the beginning of a thread leans in its middle too.

    White space, quotation marks of print and the sign at the end change nothing.
    """
    told = leans_on(question, earlier)
    if leans_on(question) is not None:
        assert told is not None
    assert leans_on(f"  {question.replace(' ', '  ')} ?", earlier) == told
    assert leans_on(question.replace("\u2019", "'"), earlier) == told


@pytest.mark.parametrize("word", ["their ", "it is safe for ", "that i ", "A.", "its ", "a.b-c "])
def test_a_long_message_is_read_once(word: str) -> None:
    """Protects the event loop: of a message of 200,000 characters nothing is read again for each of its words."""
    message = "noun " + word * (200_000 // len(word))
    assert isinstance(leans_on(message, [message]), str | None)


@pytest.mark.parametrize(
    "question",
    [
        "What if I do?",  # "I" counts as a name: without it, "How do I bake bread?" would be too short
        "How do I delete the account?",
        "Where can I buy the book?",
        "Who is the CEO?",
        "Why Paris?",
        "Rewrite in a friendlier tone.",
    ],
)
def test_short_questions_with_a_name_lean(question: str) -> None:
    """Protects from the answer to a short question of another thread, which meant something else."""
    assert leans_on(question, BEFORE) is not None


@pytest.mark.parametrize(
    "message",
    ["I'm vegetarian.", "I live in Berlin.", "We use PostgreSQL.", "My boiler is a Vaillant.", "I have a Mac."],
)
def test_what_a_user_tells_changes_later_answers(message: str) -> None:
    """Protects from an answer that leaves out what the user said before."""
    assert leans_on("Which dishes can I cook for the summer party?", [message]) is not None


@pytest.mark.parametrize(
    "question",
    [
        "Why is the sky blue?",
        "What is photosynthesis?",
        "Which other countries use the euro?",
        "What is another word for happy?",
        "Why do cats purr when they sleep?",
        "How hard is it to learn Japanese?",
        "What time is it?",
    ],
)
def test_lost_hits(question: str) -> None:
    """Says where the rules are too careful in the middle of a thread: whoever mends one moves it to those above."""
    assert leans_on(question) is None
    assert leans_on(question, BEFORE) is not None
