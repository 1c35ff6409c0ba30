"""Patterns of personal data and secrets. Each is anchored at its left, so a long hostile text costs linear time."""

from __future__ import annotations

import re

__all__ = [
    "API_KEY",
    "CARD",
    "CARD_AFTER_WORD",
    "EMAIL",
    "IBAN_LENGTHS",
    "IBAN_START",
    "IPV4",
    "IPV6",
    "PASSWORD",
    "PHONE",
    "PRIVATE_KEY",
    "URL_PASSWORD",
    "US_SSN",
]

EMAIL = re.compile(
    r"(?<![\w.+%'-])[\w.+%'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
    r"(?:xn--[a-z0-9-]{1,59}|[^\W\d_]{2,24})(?![^\W_])",
    re.IGNORECASE,
)

# Issuer prefixes of the large networks: American Express, Diners, Visa, Mastercard, Discover, JCB, UnionPay, Maestro.
CARD = re.compile(
    r"(?<![\w.$€£-])(?:3[0-9]|4[0-9]|5[0-9]|6[0-9]|2[2-7]|1[38])(?:[ -]?[0-9]){10,16}[0-9](?![\w-])(?!\.[0-9])"
)
CARD_AFTER_WORD = re.compile(
    r"\bcards?\b[^\d\n<]{0,30}(?P<value>(?<!\w)[0-9]{4}(?:[ -][0-9]{4}){3}(?!\w))", re.IGNORECASE
)

IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[0-9]{2}(?=[ -]?[A-Za-z0-9])")
# ISO 13616 registry: country and length.
IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (  # noqa: SIM905 - a registry reads better as one text
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
        "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 "
        "IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 "
        "MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 "
        "SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}

US_SSN = re.compile(
    r"(?<![\w.-])(?P<dashed>(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4})(?![\w-])(?!\.[0-9])"
    r"|\b(?:ssn|social security(?: number| no\.?)?)\b[^\d\n<]{0,20}"
    r"(?P<said>(?!000|666|9)[0-9]{3}[ .]?(?!00)[0-9]{2}[ .]?(?!0000)[0-9]{4})(?!\w)",
    re.IGNORECASE,
)

IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w)(?!\.[0-9])")
IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]{0,4}:)[0-9A-Fa-f:]{4,39}(?![\w:])")

_SEPARATOR = r"[ .\-/\u2010-\u2013]"
_EXTENSION = r"(?:\s?(?:x|ext\.?|extension)\s?[0-9]{1,6})?"
_END = r"(?!\w*[0-9])(?!\.[0-9])(?!(?:st|nd|rd|th)\b)"
_CALL = (
    r"\b(?:call(?:ed|ing)?|phone|telephone|tel|mobile|cell|cellphone|fax|whatsapp|signal|sms|dial|ring|text|reach|contact|"
    r"answering|hotline|voicemail)\b"
)
PHONE = re.compile(
    rf"""
    (?<![\w.+/=#$€£-])(?:
        (?=(?:\+|00)(?:[ .\-/()]{{0,2}}[0-9]){{7}})
        (?:\+|00)[1-9][0-9]{{0,3}}{_SEPARATOR}?(?:\([0-9]{{1,4}}\){_SEPARATOR}?)?
        [0-9]{{1,5}}(?:{_SEPARATOR}?[0-9]{{1,5}}){{1,5}}{_EXTENSION}
      | (?:1{_SEPARATOR})?\([0-9]{{2,5}}\)\s?[0-9]{{3,4}}(?:{_SEPARATOR}?[0-9]{{2,4}}){{1,2}}{_EXTENSION}
      | (?:1{_SEPARATOR})?[0-9]{{3}}([ .-])[0-9]{{3}}\1[0-9]{{4}}{_EXTENSION}
      | 0[1-9][0-9]{{0,3}}{_SEPARATOR}[0-9]{{2,4}}(?:{_SEPARATOR}[0-9]{{2,4}}){{1,3}}
      | 0[1-9][0-9]{{0,3}}[ /-][0-9]{{6,8}}
    ){_END}
  | {_CALL}(?:(?!\bto\b)[^\d\n<]){{0,24}}?
    (?P<value>(?<![\w$€£.,+])[(+]?[0-9](?:[ .\-()/]{{0,2}}[0-9]){{5,14}}{_EXTENSION}){_END}
  | (?P<labelled>(?<![\w$€£.,+(])[0-9](?:[ .\-()/]?[0-9]){{5,12}}{_EXTENSION})[ -]\(?(?:office|mobile|cell|fax|phone)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)

PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
API_KEY = re.compile(
    r"(?<![\w-])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}"
    r"|sk-(?:[a-z]{2,10}-){0,2}[A-Za-z0-9_-]{20,250}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}"
    r"|hf_[A-Za-z0-9]{30,64}|AIza[0-9A-Za-z_-]{35}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}"
    r"|lsv2_[a-z]{2}_[0-9a-f]{32}_[0-9a-f]{10}"
    r"|eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,1000}"
    r")(?![\w-])"
)
URL_PASSWORD = re.compile(r"(?<=://)[^\s/:@<>]{1,64}:(?P<value>[^\s/@<>]{1,128})(?=@)")
# "My password is wrong" says nothing secret: after "is", the word must hold a digit or a sign.
PASSWORD = re.compile(
    r"\b(?:password|passwd|passphrase|pwd|api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token)\b"
    r"['\"]?\s{0,3}"
    r"(?:(?:[:=]|:=)\s{0,3}['\"]?(?P<value>[^\s<>'\",;]{6,200})"
    r"|(?:is|was)\s{1,3}['\"]?(?P<said>(?=[^\s<>]*[0-9!#$%&*+=?^_~@])[^\s<>'\",;]{6,200}(?<![.?!])))",
    re.IGNORECASE,
)
