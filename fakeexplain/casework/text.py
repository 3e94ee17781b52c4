"""A case in lines for a terminal, and the short list as JSON. Left out: printing, and the whole case (`export`)."""

from __future__ import annotations

from typing import Any

from fakeexplain.casework.records import Item
from fakeexplain.casework.sealing import shortened
from fakeexplain.casework.view import View
from fakeexplain.reasoning.numbers import percent_of
from fakeexplain.reasoning.wording import describe, is_significant, label_words


def list_json(view: View) -> dict[str, Any]:
    """Head, kinds left out, and for each item its hash, size, name, examinations and last answer."""
    rows = []
    for item in view.state.items.values():
        last = view.state.examinations[item.examinations[-1]].examined if item.examinations else None
        rows.append(
            {
                "item": item.id,
                "sha256": item.sha256,
                "size": item.size,
                "name": item.name,
                "examinations": item.examinations,
                "label": last.label if last else None,
                "probability": last.probability if last else None,
            }
        )
    return {"head": view.reading.head, "redacted": view.fields, "items": rows}


def list_lines(view: View) -> list[str]:
    lines = []
    for row in list_json(view)["items"]:
        answer = f"{row['label']} ({', '.join(row['examinations'])})" if row["label"] else "not examined"
        name = shortened(row["name"])
        lines.append(f"{row['item']}  {row['sha256'][:16]}...  {row['size']:,} bytes  {answer}  {name}")
    return lines or ["no items yet; see `fakeexplain case add`"]


def item_lines(view: View, item: Item) -> list[str]:
    """Receipts, failures, examinations with findings and their statuses, and remarks of one item."""
    state = view.state
    lines = [f"{item.id}  {shortened(item.name)}", f"  sha256 {item.sha256}, {item.size:,} bytes"]
    for entry, added in item.receipts:
        again = " again" if added.again else ""
        name = shortened(added.received_name)
        lines.append(f"  received{again} {entry.time} by {shortened(entry.actor)} as {name}")
    lines += [f"  could not be examined {time}: {shortened(error)}" for time, error in item.failures]
    for number in item.examinations:
        found = view.examination(number)
        percent = percent_of(found.verdict.probability)
        lines.append(f"  {number}  {label_words(found.verdict)}, probability {percent}")
        for record in found.evidence:
            last = state.status_of(number, record.id)
            if is_significant(record, found.verdict) or state.remarks_on(number, record.id):
                lines.append(f"    {record.id}  {last.note.status if last else 'open'}: {describe(record)}")
    for remark in state.remarks:
        if remark.note.item == item.id:
            place = " ".join(p for p in (remark.note.examination, remark.note.evidence) if p)
            status = f"{remark.note.status}: " if remark.note.status else ""
            who = f"{shortened(remark.actor)}{' on ' if place else ''}{place}"
            lines.append(f"  {remark.time} {who}: {status}{shortened(remark.note.text)}")
    return lines
