"""Countries and other large places, within which a town may be home as well."""

from __future__ import annotations

from freehold.memory.fact_form import word_set

__all__ = ["LARGE_PLACES"]

LARGE_PLACES = frozenset(
    name.replace("_", " ")
    for name in word_set(
        "afghanistan africa alabama alaska albania algeria andorra angola argentina arizona arkansas armenia asia "
        "australia austria azerbaijan bahamas bahrain bangladesh barbados bavaria belarus belgium belize benin "
        "bhutan bolivia bosnia botswana brazil british_columbia brittany brunei bulgaria burundi california "
        "cambodia cameroon canada catalonia chad chile china colombia colorado congo connecticut costa_rica "
        "croatia cuba cyprus czech_republic czechia delaware denmark dominican_republic ecuador egypt el_salvador "
        "england eritrea estonia ethiopia europe fiji finland florida france gabon gambia georgia germany ghana "
        "great_britain greece guatemala guinea guyana haiti hawaii honduras hungary iceland idaho illinois india "
        "indiana indonesia iowa iran iraq ireland israel italy ivory_coast jamaica japan jordan kansas kazakhstan "
        "kentucky kenya kosovo kuwait kyrgyzstan laos latvia lebanon lesotho liberia libya liechtenstein "
        "lithuania louisiana luxembourg madagascar maine malawi malaysia maldives mali malta maryland "
        "massachusetts mauritius mexico michigan minnesota mississippi missouri moldova monaco mongolia montana "
        "montenegro morocco mozambique myanmar namibia nebraska nepal netherlands nevada new_hampshire new_jersey "
        "new_mexico new_zealand nicaragua niger nigeria north_carolina north_dakota north_korea north_macedonia "
        "norway ohio oklahoma oman ontario oregon pakistan panama paraguay pennsylvania peru philippines poland "
        "portugal qatar quebec rhode_island romania russia rwanda saudi_arabia scotland senegal serbia singapore "
        "slovakia slovenia somalia south_africa south_carolina south_dakota south_korea south_sudan spain "
        "sri_lanka sudan sweden switzerland syria taiwan tajikistan tanzania tennessee texas thailand togo "
        "tunisia turkey turkmenistan tuscany uganda uk ukraine united_arab_emirates united_kingdom united_states "
        "uruguay us usa utah uzbekistan venezuela vermont vietnam virginia wales west_virginia wisconsin wyoming "
        "yemen zambia zimbabwe"
    )
)
"""In lower case; continents, large regions and the states of the United States are among them."""
