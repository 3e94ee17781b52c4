"""Prompts and settings that image generators write into their files, recognised program by program.

Known: Stable Diffusion web UIs (AUTOMATIC1111, Forge, SD.Next and all that write its "parameters"), ComfyUI (prompt and
workflow graphs), InvokeAI (three generations), NovelAI, Fooocus, SwarmUI, Midjourney, and JSON with the usual keys.
"Not in our list" is neutral. Left out on purpose: generators that leave only Content Credentials (`provenance.c2pa`),
and any judgement: such text can be copied from one file into another, and pictures can be made to carry it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from fakeexplain.provenance.text import MAX_GENERATOR_TEXT, clean_text

_PROMPT = 2000  # characters of a prompt that are shown
_MAX_SETTINGS = 30
_SETTING = re.compile(r"\s*([\w .+/-]{1,40}?):\s*(\"(?:[^\"\\]|\\.){0,400}\"|[^,]{0,200})(?:,|$)")
_MIDJOURNEY = re.compile(r"(?P<prompt>.*?)\s*(?:--\w+ .*?)?Job ID: (?P<job>[0-9a-f-]{36})", re.DOTALL)
_LEGACY_DREAM = re.compile(r"\"(?P<prompt>[^\"]{1,4000})\" (?P<options>-[sSWHCAn].{0,400})")

Found = dict[str, Any]


def find_generators(texts: dict[str, str]) -> list[Found]:
    """What generators wrote, as JSON values.

    Args:
        texts: place ("text chunk parameters", "EXIF UserComment", ...) -> the whole text as stored.

    Returns:
        One dict per place: generator (name), where, and as far as they are given prompt, negative_prompt, model, seed,
        settings (further figures as text). Strings are cleaned and shortened. Never raises on text.
    """
    found = []
    software = clean_text(next((t for place, t in texts.items() if place.endswith(" Software")), ""))
    for place, text in texts.items():
        key = place.removeprefix("text chunk ")
        for reader in (_from_json, _from_parameters, _from_dream, _from_midjourney):
            record = reader(text, key, software)
            if record:
                cleaned = {k: _cleaned(v) for k, v in record.items() if v not in (None, "", {}, [])}
                found.append({"generator": cleaned.pop("generator"), "where": clean_text(place, 100), **cleaned})
                break
    return found[:10]


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        kept = list(value.items())[:_MAX_SETTINGS]
        return {clean_text(k, 60): _cleaned(v) if not isinstance(v, dict) else clean_text(v) for k, v in kept}
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    return clean_text(value, _PROMPT)


def _from_parameters(text: str, key: str, software: str) -> Found | None:
    """The web UIs' form: prompt, "Negative prompt: ...", and a last line of "Key: value" pairs."""
    if "Steps: " not in text or "Sampler" not in text:
        return None
    head, _, tail = text[:MAX_GENERATOR_TEXT].rpartition("Steps: ")
    prompt, _, negative = head.partition("Negative prompt:")
    pairs: dict[str, str] = {}
    for match in _SETTING.finditer("Steps: " + tail[:8000].split("\n", 1)[0]):
        if len(pairs) < _MAX_SETTINGS:
            pairs[match[1].strip()] = match[2].strip().strip('"')
    version = pairs.get("Version", "")
    return {
        "generator": version if version in ("ComfyUI", "Fooocus") else "a Stable Diffusion web UI",
        "prompt": prompt.strip(),
        "negative_prompt": negative.strip(),
        "model": pairs.get("Model", ""),
        "seed": pairs.get("Seed", ""),
        "settings": {k: v for k, v in pairs.items() if k not in ("Model", "Seed")},
    }


def _from_dream(text: str, key: str, software: str) -> Found | None:
    match = _LEGACY_DREAM.match(text[:6000]) if key.lower() == "dream" else None
    if match is None:
        return None
    return {"generator": "InvokeAI (lstein)", "prompt": match["prompt"], "settings": {"options": match["options"]}}


def _from_midjourney(text: str, key: str, software: str) -> Found | None:
    match = _MIDJOURNEY.match(text[:8000]) if "Job ID: " in text[:8000] else None
    if match is None:
        return None
    return {"generator": "Midjourney", "prompt": match["prompt"], "settings": {"job": match["job"]}}


def _from_json(text: str, key: str, software: str) -> Found | None:
    text = text.strip()
    if not text.startswith("{") or len(text) > MAX_GENERATOR_TEXT:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    readers: tuple[Callable[[dict[str, Any], str, str], Found | None], ...] = (
        _comfyui,
        _invokeai,
        _swarmui,
        _plain_json,
    )
    for reader in readers:
        record = reader(data, key, software)
        if record:
            return record
    return None


def _nodes(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(class, inputs) of the nodes of a ComfyUI prompt graph."""
    for node in list(data.values())[:2000]:
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict):
            yield node["class_type"], node["inputs"]


def _comfyui(data: dict[str, Any], key: str, software: str) -> Found | None:
    nodes = list(_nodes(data))
    if not nodes:
        listed = data.get("nodes")
        if not isinstance(listed, list) or not ("links" in data or "last_node_id" in data or key == "workflow"):
            return None
        kinds = [n["type"] for n in listed if isinstance(n, dict) and isinstance(n.get("type"), str)]
        named = ", ".join(list(dict.fromkeys(kinds))[:20])
        return {"generator": "ComfyUI (workflow)", "settings": {"nodes": len(listed), "kinds": named}}
    texts: list[str] = []
    settings: dict[str, Any] = {}
    model, seed = "", None
    for kind, inputs in nodes:
        if "TextEncode" in kind:
            texts += [v for k, v in inputs.items() if k.startswith("text") and isinstance(v, str) and v.strip()]
        for name in ("ckpt_name", "unet_name", "model_name"):
            model = model or (inputs[name] if isinstance(inputs.get(name), str) else "")
        if "seed" in inputs or "noise_seed" in inputs:
            value = inputs.get("seed", inputs.get("noise_seed"))
            seed = value if seed is None and isinstance(value, int) else seed
        for name in ("steps", "cfg", "sampler_name", "scheduler", "denoise", "lora_name", "image"):
            if isinstance(inputs.get(name), (int, float, str)):
                settings.setdefault(name, inputs[name])
    settings["nodes"] = len(nodes)
    # Which of the texts is the negative one is only told by the graph's links; all are given in file order.
    return {
        "generator": "ComfyUI",
        "prompt": " | ".join(dict.fromkeys(texts)),
        "model": model,
        "seed": seed,
        "settings": settings,
    }


def _invokeai(data: dict[str, Any], key: str, software: str) -> Found | None:
    old = data.get("image")
    if key == "sd-metadata" and isinstance(old, dict):
        prompts = old.get("prompt")
        first = prompts[0] if isinstance(prompts, list) and prompts else {}
        return {
            "generator": "InvokeAI",
            "prompt": first.get("prompt", "") if isinstance(first, dict) else prompts,
            "model": data.get("model_weights", ""),
            "seed": old.get("seed"),
            "settings": _scalars(old, ("steps", "cfg_scale", "sampler", "width", "height")),
        }
    if not key.startswith("invokeai") and "positive_prompt" not in data:
        return None
    model = data.get("model")
    return {
        "generator": "InvokeAI",
        "prompt": data.get("positive_prompt", ""),
        "negative_prompt": data.get("negative_prompt", ""),
        "model": (model.get("name") or model.get("model_name") or "") if isinstance(model, dict) else model,
        "seed": data.get("seed"),
        "settings": _scalars(data, ("generation_mode", "steps", "cfg_scale", "scheduler", "width", "height")),
    }


def _swarmui(data: dict[str, Any], key: str, software: str) -> Found | None:
    inner = data.get("sui_image_params")
    if not isinstance(inner, dict):
        return None
    record = _plain_json(inner | {"seed": inner.get("seed", 0)}, key, software) or {}
    return {**record, "generator": "SwarmUI"}


def _plain_json(data: dict[str, Any], key: str, software: str) -> Found | None:
    """Flat JSON with a prompt and at least one figure that only generators have."""
    figures = _scalars(data, ("steps", "sampler", "scheduler", "scale", "cfg_scale", "guidance_scale", "strength"))
    prompt = data.get("prompt", data.get("Prompt", data.get("c")))
    if not isinstance(prompt, str) or not (figures or "seed" in data or "Seed" in data):
        return None
    name = "an image generator"
    if software.startswith("NovelAI") or ("uc" in data and "sampler" in data):
        name = "NovelAI"
    elif "fooocus_scheme" in data or str(data.get("version", "")).startswith("Fooocus"):
        name = "Fooocus"
    return {
        "generator": name,
        "prompt": prompt,
        "negative_prompt": data.get("negative_prompt", data.get("uc", data.get("Negative Prompt"))),
        "model": data.get("model", data.get("base_model", "")),
        "seed": data.get("seed", data.get("Seed")),
        "settings": figures | _scalars(data, ("width", "height", "version", "request_type", "performance")),
    }


def _scalars(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {n: data[n] for n in names if isinstance(data.get(n), (int, float, str)) and data[n] != ""}
