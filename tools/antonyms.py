"""Make `core/cache/gate/antonyms.txt`: WordNet's antonyms, and the everyday and technical ones that it lacks.

From the project's root, on Debian:

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    .venv/bin/python -m tools.antonyms wordnet/usr/share/wordnet core/cache/gate/antonyms.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.question_verifier.wordnet import read_wordnet

# Wrong more often than right between 64,185 labelled pairs of questions: one of the two words has a second meaning in
# which nothing is opposed ("some of the best" and "the best of all time" ask the same).
DROPPED = """
all/some all/no no/some answer/question have/lack come/go break/make other/same little/much here/there
forget/remember left/right give/take find/lose know/ignore
"""

# What WordNet 3.0 lacks: a word and its opposites.
ADDED = """
install/uninstall/remove upload/download encrypt/decrypt import/export login/logout signin/signout/signoff
hide/show/reveal start/stop/end/finish/quit begin/finish/stop create/delete/destroy/remove add/remove/delete
insert/remove/delete increase/reduce/decrease/lower/lessen raise/lower/reduce/cut activate/deactivate
compress/extract/uncompress serialize/deserialize expand/collapse/shrink merge/split join/leave append/prepend
allocate/deallocate/free allow/block/forbid/ban/prohibit/forbidden permit/forbid/ban/prohibit accept/decline/reject
approve/reject win/lose give/receive send/receive input/output read/write load/save pause/resume play/pause
check/uncheck select/deselect grant/revoke commit/rollback gain/lose save/spend/waste earn/spend profit/loss
benefit/drawback/disadvantage/harm advantage/drawback pros/cons success/failure succeed/fail love/hate like/hate
friend/enemy hero/villain arrive/depart arrival/departure enter/leave entrance/exit inhale/exhale freeze/melt/thaw
heat/cool tighten/loosen inflate/deflate build/demolish/destroy construct/demolish/destroy attack/defend hire/fire
girl/guy/man woman/guy/boy marry/divorce cheap/dear/costly/pricey
expensive/affordable/inexpensive/cheap sick/healthy healthy/harmful
fat/thin/skinny heavy/light/lightweight fast/slow quick/slow easy/hard/difficult/tough simple/complicated/complex
safe/unsafe/risky/dangerous internal/external domestic/international local/remote/global static/dynamic
mutable/immutable sync/async frontend/backend client/server ascending/descending horizontal/vertical row/column
minimum/maximum min/max top/bottom front/rear/back before/after above/below over/under in/out on/off up/down
ancient/modern old/new loud/quiet bright/dark/dim fresh/stale/rotten bride/groom host/guest teacher/student
doctor/patient buyer/seller landlord/tenant lender/borrower introvert/extrovert even/odd real/fake true/false
correct/wrong/incorrect guilty/innocent polite/rude kind/cruel smart/dumb/stupid many/few more/less/fewer
most/least/fewest high/low grow/shrink improve/worsen reduce/increase prevent/cause cause/cure attract/repel
lock/unlock similar/different differ/resemble permanent/temporary major/minor senior/junior ingoing/outgoing
victory/defeat predator/prey employed/jobless poverty/wealth peace/war truth/lie former/latter
"""


def useful(pair: frozenset[str]) -> bool:
    """Whether a pair is two words that the gate's rule for prefixes does not know anyway."""
    words = sorted(pair, key=len)
    return len(pair) == 2 and words[1] not in {prefix + words[0] for prefix in ("un", "non")}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path, help="folder with data.adj and the rest")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    lines = [entry.split("/") for entry in ADDED.split()]
    added = {frozenset((first, other)) for first, *others in lines for other in others}
    opposites = read_wordnet(options.wordnet).opposites
    found = set(filter(useful, (frozenset((one, other)) for one, others in opposites.items() for other in others)))
    pairs = (found | added) - {frozenset(entry.split("/")) for entry in DROPPED.split()}
    rows: dict[str, list[str]] = {}
    for first, other in sorted(map(sorted, pairs)):
        rows.setdefault(first, []).append(other)
    head = "# A word, then its opposites. Made by tools/antonyms.py, most of it from WordNet 3.0: LICENSE-WordNet.txt."
    written = [head, *(" ".join([first, *others]) for first, others in rows.items())]
    options.output.write_text("\n".join(written) + "\n", encoding="utf-8")
    print(f"{len(pairs)} pairs, {len(pairs & found)} of them WordNet's")


if __name__ == "__main__":
    main()
