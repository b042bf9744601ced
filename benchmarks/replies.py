"""How well replies are understood: opt-outs that are found, and ordinary texts that are left alone.

    python -m benchmarks.replies [FILE]

FILE: real text messages, one a line as ``label<TAB>text``, plain or gzipped, such as the SMS Spam
Collection (UCI Machine Learning Repository, CC BY 4.0), which is not part of this repository. Its 5,574
messages were written to people, not to a company. Measured with this command: of 5,574 one is read as
an opt-out ("Please don't text me anymore …", which it is), none as START or HELP; with an alert open
("was this you?") none as a no and 24 of 5,574 as a yes, each a bare "Ok", "Yes" or the like. Recall of
opt-outs: every word of ours and 22 free sentences in five languages, each written in eight ways people
write, 100 % found.
"""

import gzip
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from signalpost.domain.replies import Meaning, classify
from signalpost.domain.reply_words import STOP

#: Opt-outs in free words, as a reasonable person would understand them (47 CFR 64.1200(a)(10)).
SENTENCES = (
    "please stop texting me",
    "don't text me again",
    "do not send me any more messages",
    "stop sending these",
    "take me off your list",
    "remove my number from your database",
    "unsubscribe me from this list",
    "no more texts",
    "I don't want to receive these messages",
    "I revoke my consent",
    "how do I unsubscribe",
    "never contact me again",
    "не присылайте мне больше смс",
    "уберите меня из рассылки",
    "я не хочу получать сообщения",
    "прошу отписаться",
    "請不要再發簡訊給我",
    "我不想再收到廣告",
    "请停止发送短信",
    "หยุดส่งข้อความ",
    "ไม่ต้องการรับข้อความ",
    "ขอยกเลิกรับข้อความ",
)


def ways(text: str) -> Iterable[str]:
    """Write a text as people do."""
    yield from (text, text.upper(), text.capitalize(), f"{text}!", f"{text}.", f'"{text}"')
    yield f"  {text}\n"
    yield f"{text}!!!"


def missed() -> tuple[list[str], int]:
    """Give the opt-outs that are not understood, and how many there are in all."""
    words = [word.strip() for line in STOP.split("\n") for word in line.split("|") if word.strip()]
    told = [one for text in (*words, *SENTENCES) for one in ways(text)]
    return [one for one in told if classify(one).meaning is not Meaning.STOP], len(told)


def meanings(file: Path, *, alert_open: bool) -> Counter[str]:
    """Count what the real messages of a file are taken to mean."""
    codes = ["4821"] if alert_open else []
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8") as lines:
        texts = [line.rstrip("\n").partition("\t")[2] for line in lines]
    return Counter(str(classify(text, open_codes=codes).meaning) for text in texts)


def run() -> list[dict[str, Any]]:
    """Measure the recall; real messages are measured by hand, see above."""
    lost, told = missed()
    return [
        {
            "name": "opt-outs found, of words and sentences in five languages",
            "value": round(100 * (1 - len(lost) / told), 2),
            "unit": "%",
            "bound": ">= 100",
            "holds": not lost,
            "peers": {"opt-outs in all": told},
        }
    ]


def main() -> None:
    """Print the figures."""
    lost, told = missed()
    print(f"opt-outs found: {told - len(lost):,} of {told:,} ({1 - len(lost) / told:.1%})")
    for one in lost:
        print(f"  missed: {one!r}")
    for name in sys.argv[1:]:
        for alert_open in (False, True):
            found = meanings(Path(name), alert_open=alert_open)
            counted = ", ".join(f"{kind} {number:,}" for kind, number in found.most_common())
            print(f"{sum(found.values()):,} messages, alert open: {alert_open}: {counted}")


if __name__ == "__main__":
    main()
