"""Do the assistant's words follow what it is shown? Its own map and picture, another's in their place, and none.

python benchmarks/looking.py PICTURES [--wording FOLDER] [--limit 60]

Every picture is examined and the assistant asked what the map marks and what the picture looks like; its sentences are
taken as it proposes them, before any check. The lines of evidence stay the picture's own all the while, so words that
follow the other map or picture can come from its tokens alone. A sentence "holds" when it is true of a map or a picture
by the rules that check it in use (`fakeexplain.reasoning.sights`); one that tells neither is not counted. For no
picture a grey one is shown. Another picture is the next one of the folder.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, expert_map
from fakeexplain.reasoning.assistant_writer import AssistantWriter
from fakeexplain.reasoning.grounding import normalise
from fakeexplain.reasoning.sentences import Sentences
from fakeexplain.reasoning.sights import ABSENT, CAUTION, EXPERT, Sights
from fakeexplain.reasoning.writers import WriteRequest

QUESTIONS = {"map": "What is marked on the map here?", "picture": "What does this photo look like?"}
_GREY = np.full((128, 128, 3), 128, np.uint8)
_ABOUT = {"map": ("map", "largest part", "This part"), "picture": ("covers much", "Much of", "half")}


class Shown(AssistantWriter):
    """An assistant that is shown what the experiment says."""

    rgb: np.ndarray | None = None  # None for the picture's own
    look: tuple[Any, Any] | None = None

    def _picture(self, request: WriteRequest) -> np.ndarray:
        return request.source.rgb if self.rgb is None else self.rgb

    def _look(self, request: WriteRequest) -> tuple[Any, Any]:
        return super()._look(request) if self.look is None else self.look


def proposed(writer: Shown, talk: Conversation, question: str) -> list[str]:
    """What the writer proposes, sentence by sentence, in the checker's form."""
    request = WriteRequest(
        talk.source, talk.examination, talk.examination.evidence, talk.regions, (), question, sights=talk.sights
    )
    splitter = Sentences()
    said = [s for piece in writer.write(request) for s in splitter.feed(piece)]
    return [normalise(s) for s in (*said, *splitter.flush())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--wording", type=Path, help="folder of an assistant; default: the embedded one")
    parser.add_argument("--limit", type=int, default=60)
    arguments = parser.parse_args()
    examiner = Examiner(keep=1)
    writer = Shown(arguments.wording, expert=examiner.expert)
    paths = sorted(p for p in arguments.pictures.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    talks = [Conversation(examiner, p, writer=writer) for p in paths[: arguments.limit]]
    looks = [writer._look(WriteRequest(t.source, t.examination, (), {}, (), "")) for t in talks]
    table: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * 5)
    for i, talk in enumerate(talks):
        other = (i + 1) % len(talks)
        for kind, question in QUESTIONS.items():
            told: dict[str, list[str]] = {}
            for shown in ("own", "another's", "none"):
                writer.rgb, writer.look, sights = None, looks[i], talk.sights
                if shown != "own" and kind == "map":
                    writer.look = looks[other] if shown == "another's" else (None, None)
                    sights = _with_map(talk, talks[other] if shown == "another's" else None)
                elif shown != "own":
                    writer.rgb = talks[other].source.rgb if shown == "another's" else _GREY
                    sights = Sights(partial(np.asarray, writer.rgb), talk.examination.evidence)
                told[shown] = proposed(writer, talk, question)
                row = table[kind, shown]
                for sentence in told[shown]:
                    if sentence != CAUTION and any(w in sentence for w in _ABOUT[kind]):
                        row[0] += 1
                        row[1] += sights.hold(sentence)
                        row[2] += talk.sights.hold(sentence)
                row[3] += told[shown] != told["own"]
                row[4] += any(ABSENT in s for s in told[shown])
    print(f"{writer.name}, {len(talks)} pictures\n")
    print(
        "| asked about | shown | sentences | hold of what is shown | hold of its own | answers changed | say: no map |"
    )
    print("|---|---|---|---|---|---|---|")
    for (kind, shown), (count, hold, own, changed, absent) in table.items():
        parts = [f"{100 * v / max(count, 1):.1f} %" for v in (hold, own)]
        cells = [kind, shown, f"{count:.0f}", *parts, f"{changed:.0f} of {len(talks)}", f"{absent:.0f}"]
        print(f"| {' | '.join(cells)} |")


def _with_map(talk: Conversation, other: Conversation | None) -> Sights:
    """What may be said of a picture whose map is another's; None for no map at all."""
    if other is None:
        return Sights(None)
    other_map = expert_map(other.examination)
    records = [
        e.model_copy(update={"score_map": other_map}) if e.instrument == EXPERT and other_map is not None else e
        for e in talk.examination.evidence
    ]
    return Sights(None, records)


if __name__ == "__main__":
    main()
