"""How long one waits for the assistant's words, and what it takes in memory and on disk.

    python benchmarks/assistant_speed.py [PICTURE ...]            # without: the pictures of examples/
    python benchmarks/assistant_speed.py --assistant FOLDER       # other weights than the embedded ones

A conversation a picture, all questions in it, as `fakeexplain chat` would. "First sentence" counts from the question;
the examination was made before. Sentences that the rules add are counted with the answer they stand in.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from fakeexplain.conversation import Conversation
from fakeexplain.examiner import Examiner, Settings
from fakeexplain.localization import Expert
from fakeexplain.reasoning.assistant_writer import AssistantWriter, embedded_folder
from fakeexplain.records import Answer

QUESTIONS = (
    "Was this picture changed anywhere?",
    "Where, and what was found there?",
    "Explain why you think so, with everything that was measured.",
    "How sure are you, and how often are you wrong?",
    "What else could cause it?",
    "What does the file say about itself?",
    "Show me the region.",
    "What was not tested?",
)
LONG = 120  # words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--assistant", type=Path, help="folder of weights; without, the embedded ones")
    arguments = parser.parse_args()
    pictures = arguments.pictures or sorted(Path("examples").glob("*.jpg"))
    examiner, started = Examiner(Settings()), time.perf_counter()
    writer = AssistantWriter(arguments.assistant, expert=Expert.load())
    loaded = time.perf_counter() - started
    answers: list[Answer] = []
    for picture in pictures:
        talk = Conversation(examiner, picture, writer=writer)
        answers += [talk.ask(question) for question in QUESTIONS]
    first = [a.seconds["first_sentence"] for a in answers if "first_sentence" in a.seconds]
    words = [len(a.text.split()) for a in answers]
    pace = sum(a.seconds["total"] for a in answers) / max(sum(words), 1)
    own = [s for a in answers for s in a.sentences if s.written_by == "model"]
    folders = (arguments.assistant or embedded_folder(), embedded_folder().parent)
    size = sum({f: f.stat().st_size for folder in folders for f in folder.rglob("*.safetensors")}.values())
    rows = {
        "pictures, answers": f"{len(pictures)}, {len(answers)}",
        "loading the weights": f"{loaded:.1f} s",
        "first sentence, median and slowest": f"{statistics.median(first):.2f} s, {max(first):.2f} s",
        "answer, median and slowest": f"{_median(a.seconds['total'] for a in answers)}, "
        f"{max(a.seconds['total'] for a in answers):.2f} s",
        "words of an answer, median and most": f"{statistics.median(words):.0f}, {max(words)}",
        f"{LONG} words at this pace": f"{LONG * pace:.1f} s",
        "sentences by the model": f"{len(own)} of {sum(len(a.sentences) for a in answers)}",
        "peak memory of this process": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB",
        "weights on disk, all that ships": f"{size / 1e6:.1f} MB",
    }
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def _median(values: Iterable[float]) -> str:
    return f"{statistics.median(values):.2f} s"


if __name__ == "__main__":
    main()
