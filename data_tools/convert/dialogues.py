"""Dialogue formats, read and written: LLaVA's JSON, ShareGPT's, and chat messages.

What these formats have no word for (mask, label, evidence, licence, ...) is written under the key "record", and what a
turn has beside its text (evidence ids, region) beside the text; their readers pass over keys they do not know. Files
from elsewhere, without these keys, are read too: a picture whose entry names a "mask", or that has one of its stem in
masks/, is forged, or authentic where that mask is black; the label of others is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.convert.base import Item, Problems, Ready, inside, read_source, relative, write_text
from data_tools.convert.lists import list_file, load_json, mask_source, placed_record
from data_tools.rle import mask_to_rle
from data_tools.schema import IMAGE_TOKEN, InlineMask, Message, Record, TurnRegion, is_file, parse_json
from fakeexplain.errors import SourceError

_ROLE_OF = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_SHAREGPT_WORD = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
_TURN_EXTRAS = ("evidence_ids", "region")


def _content(value: Any) -> str:
    """Text of a turn; lists of parts become text with `<image>` where the picture stood."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"content is a {type(value).__name__}, wanted text or a list of parts")
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("image", "image_url"):
            texts.append(IMAGE_TOKEN)
        elif kind == "text":
            texts.append(str(part.get("text", "")))
        else:
            raise ValueError(f"content part of kind {kind!r}, wanted text or image")
    return "\n".join(texts)


def _message(turn: Any, role_key: str, text_key: str) -> Message:
    if not isinstance(turn, dict) or role_key not in turn or text_key not in turn:
        raise ValueError(f'a turn is not {{"{role_key}", "{text_key}"}}')
    word = turn[role_key]
    if not isinstance(word, str) or word not in _ROLE_OF:
        raise ValueError(f"unknown speaker {word!r}, wanted one of {', '.join(_ROLE_OF)}")
    extras = {key: turn[key] for key in _TURN_EXTRAS if key in turn}
    return Message.model_validate({"role": _ROLE_OF[word], "content": _content(turn[text_key])} | extras)


def _record_row(record: Record) -> dict[str, Any]:
    """What goes under "record": all but the picture's path and the dialogue."""
    row: dict[str, Any] = json.loads(record.to_json())
    row.pop("dialogue", None)
    row.pop("image")
    return row


def _turns(record: Record, role_key: str, text_key: str, words: dict[str, str]) -> list[dict[str, Any]]:
    """Turns with `<image>` in the first user turn (put there where the record lacks it)."""
    messages = list(record.dialogue)
    if not any(IMAGE_TOKEN in m.content for m in messages):
        first = next((i for i, m in enumerate(messages) if m.role == "user"), None)
        if first is not None:
            text = f"{IMAGE_TOKEN}\n{messages[first].content}"
            messages[first] = messages[first].model_copy(update={"content": text})
    turns = []
    for message in messages:
        dumped = message.model_dump(mode="json", exclude_defaults=True)
        turn = {role_key: words[message.role], text_key: message.content}
        turns.append(turn | {key: dumped[key] for key in _TURN_EXTRAS if key in dumped})
    return turns


def _item(entry: Any, turns_key: str, role_key: str, text_key: str, root: Path) -> Item:
    """Raises ValueError or SourceError with what is wrong with the entry."""
    if not isinstance(entry, dict) or not isinstance(entry.get(turns_key), list):
        raise ValueError(f'no list "{turns_key}"')
    named = entry.get("image", entry.get("images"))
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ValueError(f"names {len(names) if isinstance(names, list) else 'no'} pictures, wanted one")
    image = inside(root, names[0])
    if not is_file(image):
        raise ValueError(f"{names[0]} does not exist")
    dialogue = [_message(turn, role_key, text_key) for turn in entry[turns_key]]
    extra = entry.get("record", {})
    if not isinstance(extra, dict):
        raise ValueError('"record" is not an object')
    record = Record.from_row(extra | {"image": relative(image, root.resolve()), "dialogue": dialogue})
    if record.mask is None and "mask" not in extra:
        record = _with_mask_beside(record, entry.get("mask"), image, root)
    masks = mask_source(record.mask, root), mask_source(record.donor_mask, root)
    return Item(record.updated(mask=None, donor_mask=None), image, *masks)


def _with_mask_beside(record: Record, named: Any, image: Path, root: Path) -> Record:
    """The record with the mask that its entry names, or that lies in masks/; its label is what the mask says."""
    if named is not None and not isinstance(named, str):
        raise ValueError('"mask" is no path')
    path = f"masks/{image.stem}.png" if named is None else named
    if not is_file(inside(root, path)):
        if named is not None:
            raise ValueError(f"mask {named} does not exist")
        return record
    mask = read_source(mask_source(path, root))
    assert mask is not None
    says = "forged" if mask.any() else "authentic"
    turns = [_pointing(m, mask) for m in record.dialogue] if mask.any() else record.dialogue
    label = says if record.label == "unknown" else record.label
    return record.updated(mask=path, label=label, dialogue=turns)


def _pointing(message: Message, mask: np.ndarray) -> Message:
    """The turn with the mask as the region of its `<SEG>` (LISA writes [SEG]), where it has one and no region."""
    text = message.content.replace("[SEG]", "<SEG>")
    if message.role != "assistant" or "<SEG>" not in text or message.region is not None:
        return message
    return message.model_copy(
        update={"content": text, "region": TurnRegion(mask=InlineMask.model_validate(mask_to_rle(mask)))}
    )


def _read(
    entries: Any, file: Path, problems: Problems, images: Path | None, turns_key: str, role_key: str, text_key: str
) -> list[Item]:
    if not isinstance(entries, list):
        raise SourceError(f"{file}: holds a {type(entries).__name__}, wanted a list")
    items: list[Item] = []
    for number, entry in enumerate(entries, start=1):
        try:
            items.append(_item(entry, turns_key, role_key, text_key, images or file.parent))
        except (ValueError, SourceError) as error:
            problems.add(f"entry {number}: {error}")
    return items


def refuse_without_dialogue(record: Record, has_mask: bool) -> str | None:
    """Why a dialogue layout cannot hold a record; None where it can."""
    return None if record.dialogue else "no dialogue, and the layout is made of dialogues"


def refuse_for_llava(record: Record, has_mask: bool) -> str | None:
    """LLaVA's own training code knows only the speakers human and gpt, so other turns are refused, not bent."""
    others = sorted({m.role for m in record.dialogue} - {"user", "assistant"})
    if others:
        return f"{' and '.join(others)} turns, which LLaVA's format has no word for; write sharegpt or messages"
    return refuse_without_dialogue(record, has_mask)


def read_llava(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """[{"id", "image", "conversations": [{"from": "human", "value": "<image>\\n..."}, ...]}]"""
    file = list_file(path, "llava.json")
    return _read(load_json(file), file, problems, images, "conversations", "from", "value")


def write_llava(ready: Iterator[Ready], root: Path) -> None:
    entries = []
    for item in ready:
        turns = _turns(item.record, "from", "value", _SHAREGPT_WORD)
        record = placed_record(item, root)
        entries.append({"id": item.name, "image": record.image, "conversations": turns, "record": _record_row(record)})
    write_text(root / "llava.json", json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def read_sharegpt(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """[{"conversations": [{"from", "value"}, ...], "images": [path]}]; speakers human, gpt, system, observation."""
    file = list_file(path, "sharegpt.json")
    return _read(load_json(file), file, problems, images, "conversations", "from", "value")


def write_sharegpt(ready: Iterator[Ready], root: Path) -> None:
    entries = []
    for item in ready:
        turns = _turns(item.record, "from", "value", _SHAREGPT_WORD)
        record = placed_record(item, root)
        entries.append({"conversations": turns, "images": [record.image], "record": _record_row(record)})
    write_text(root / "sharegpt.json", json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def read_messages(path: Path, problems: Problems, images: Path | None) -> list[Item]:
    """One JSON object a line (or one list): {"messages": [{"role", "content"}, ...], "images": [path]}"""
    file = list_file(path, "messages.jsonl")
    if file.suffix == ".json":
        entries = load_json(file)
    else:
        entries = []
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise SourceError(f"{file}: cannot be read ({error})") from None
        for number, line in enumerate(lines, start=1):
            try:
                entries += [parse_json(line)] if line.strip() else []
            except ValueError as error:
                problems.add(f"line {number}: {error}")
    return _read(entries, file, problems, images, "messages", "role", "content")


def write_messages(ready: Iterator[Ready], root: Path) -> None:
    words = {role: role for role in _SHAREGPT_WORD}
    lines = []
    for item in ready:
        turns = _turns(item.record, "role", "content", words)
        record = placed_record(item, root)
        row = {"messages": turns, "images": [record.image], "record": _record_row(record)}
        lines.append(json.dumps(row, ensure_ascii=False))
    write_text(root / "messages.jsonl", "".join(f"{line}\n" for line in lines))
