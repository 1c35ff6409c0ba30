"""Personal data is found by shape and check digit, and never twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import GuardrailError
from freehold.guardrails.personal_data import KINDS, PersonalDataMasker

PIECES = st.sampled_from(
    [
        "ada@example.org",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "GB82 WEST 1234 5698 7654 32",
        "192.168.7.41",
        "2001:db8:1:2::7",
        "123-45-6789",
        "+44 20 7946 0958",
        "(978) 645-9740x11",
        "call",
        "card",
        "password: ",
        "password is ",
        "hunter2!",
        "<PHONE_NUMBER>",
        "<EMAIL_ADDRESS>",
        "555 1234",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "-----BEGIN PRIVATE KEY-----",
        "://a:b@",
        "@",
        ".",
        " ",
        "\n",
        "-",
        ":",
        "<",
        ">",
        "12",
        "٣",
    ]
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "My email is ada@example.org and my card is 4111 1111 1111 1111",
            "My email is <EMAIL_ADDRESS> and my card is <CREDIT_CARD>",
        ),
        ("Pay to GB82 WEST 1234 5698 7654 32 and wait", "Pay to <IBAN_CODE> and wait"),
        ("iban de89370400440532013000.", "iban <IBAN_CODE>."),
        ("Amex 378282246310005", "Amex <CREDIT_CARD>"),
        ("I am at 81.2.69.142 or 2001:db8:85a3::8a2e:370:7334", "I am at <IP_ADDRESS> or <IP_ADDRESS>"),
        ("SSN 536-22-1234; ssn: 536 22 1234", "SSN <US_SSN>; ssn: <US_SSN>"),
        ("Ring me at +44 (0)20 7946 0958 or 555-0199 99", "Ring me at <PHONE_NUMBER> or 555-0199 99"),
        ("(415) 555-2671 ext 12", "<PHONE_NUMBER>"),
        ("my number: call 785 8949", "my number: call <PHONE_NUMBER>"),
        ("token ghp_" + "a1B2" * 9, "token <API_KEY>"),
        ("AKIAIOSFODNN7EXAMPLE", "<API_KEY>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- ok", "<PRIVATE_KEY> ok"),
        ("postgres://ada:s3cret@db/x", "postgres://ada:<PASSWORD>@db/x"),
        ("my password is hunter2!x", "my password is <PASSWORD>"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    """Protects what people write about themselves from being stored or logged."""
    assert PersonalDataMasker().mask(text).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "My name is Ada Lovelace and I live in London.",
        "The meeting is on 2024-01-15 at 10:30:00, room 4.1.2.",
        "My password is wrong and my card is not working.",
        "It costs $1,234,567.89 or 3.14159265358979 or 1700000000.",
        "Order 4111 1111 1111 1112 has 16 digits and no check digit.",
        "Use std::vector<int> a::b fa::be at 127.0.0.1:8080 or ::1.",
        "RFC 7231, section 6.5.1; ISBN 978-3-16-148410-0",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "Call 911 or take bus 42.",
        "@ada on the forum, see a@b",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Protects the assistant's usefulness: dates, prices, versions, code and names are no personal data."""
    assert PersonalDataMasker().mask(text).text == text


@given(st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join))
def test_masking_a_masked_text_changes_nothing(text: str) -> None:
    """Protects checkpoints, which mask on every write."""
    masker = PersonalDataMasker()
    masked = masker.mask(text)
    again = masker.mask(masked.text)
    assert again.text == masked.text
    assert again.found == {}


def test_what_was_found_is_counted_by_kind() -> None:
    """Protects the decision log, which tells kinds and counts and never the data."""
    masked = PersonalDataMasker().mask("a@example.org, b@example.org, 123-45-6789")
    assert masked.found == {"EMAIL_ADDRESS": 2, "US_SSN": 1}


def test_only_the_kinds_asked_for_are_masked() -> None:
    """Protects documents that rightly hold contacts: the output rail masks secrets alone."""
    text = "a@example.org AKIAIOSFODNN7EXAMPLE"
    assert PersonalDataMasker(("API_KEY",)).mask(text).text == "a@example.org <API_KEY>"


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    """Protects from a typing error that would mask nothing."""
    with pytest.raises(GuardrailError, match=r"EMAIL_ADRESS.*EMAIL_ADDRESS"):
        PersonalDataMasker(("EMAIL_ADRESS",))
    assert "EMAIL_ADDRESS" in KINDS
