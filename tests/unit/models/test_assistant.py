"""The assistant as a network: placeholders, `<SEG>`, gradients, generation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fakeexplain.models.assistant import ForgeryAssistant
from fakeexplain.models.assistant_layers import fill_placeholders
from tests.unit.models.tiny_assistant import ANSWERED, ARCHITECTURES, QUESTION, answered, assistant, box, question


@pytest.fixture(params=ARCHITECTURES)
def pair(request: pytest.FixtureRequest) -> Any:
    return assistant(request.param)


def test_every_part_gets_a_gradient(pair: Any) -> None:
    model, processor = pair
    with torch.no_grad():
        for parameter in model.parameters():  # residual blocks start as the identity, which would hide their insides
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.train()
    output = model(**answered(processor))
    features = model.region_features(**_pictures(answered(processor)))
    logits, quality = model.refine(
        features,
        points=torch.tensor([[[0.2, 0.3], [0.7, 0.1], [0.0, 0.0]]]),
        point_labels=torch.tensor([[1, 0, -1]]),
        boxes=torch.tensor([[0.1, 0.1, 0.5, 0.6]]),
        previous_logits=output.seg_logits.detach(),
    )
    alone, _ = model.refine(features, points=torch.tensor([[[0.2, 0.3]]]), point_labels=torch.tensor([[1]]))
    absent = model(**question(processor, localization=None, trace_features=None)).logits[:, -1]
    total = output.loss + logits.mean() + quality.mean() + alone.mean() + absent.logsumexp(-1).mean()
    total.backward()
    assert torch.isfinite(total)
    unused = {"proj", "ln_post"}  # of the tower's pooled output, which the assistant does not read
    missing = [
        n
        for n, p in model.named_parameters()
        if (p.grad is None or not p.grad.abs().sum() > 0) and not unused & set(n.split("."))
    ]
    # A key's bias adds the same to every score of a softmax: its gradient is zero but for rounding.
    assert [n for n in missing if not n.endswith(("k_proj.bias",))] == []


def _pictures(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: inputs[n] for n in ("pixel_values", "mask_inputs", "trace_features", "mask_present")}


def test_loss_is_the_sum_of_its_parts(pair: Any) -> None:
    model, processor = pair
    output = model(**answered(processor))
    s = model.config.settings
    masks = s.seg_bce_weight * output.seg_bce + s.seg_dice_weight * output.seg_dice
    masks = masks + s.seg_quality_weight * output.seg_quality_loss
    torch.testing.assert_close(output.loss, output.language_loss + masks)
    inputs = answered(processor)
    kept = inputs["labels"][0, 1:] != -100
    by_hand = -output.logits[0, :-1].log_softmax(-1)[kept, inputs["labels"][0, 1:][kept]].mean()
    torch.testing.assert_close(output.language_loss, by_hand)


@pytest.mark.parametrize("key", ["pixel_values", "mask_inputs", "trace_features", "region_inputs"])
def test_every_input_reaches_the_answer(pair: Any, key: str) -> None:
    model, processor = pair
    inputs = question(processor)
    with torch.no_grad():
        before = model(**inputs).logits[0, -1]
        after = model(**{**inputs, key: inputs[key].flip(-1)}).logits[0, -1]
    assert (before - after).abs().max() > 1e-6


def test_tokens_stand_where_their_marks_stood() -> None:
    model, processor = assistant()
    inputs = question(processor)
    ids, config = inputs["input_ids"], model.config
    with torch.no_grad():
        patches = model.see(inputs["pixel_values"])
        views = (inputs["mask_inputs"], inputs["trace_features"], inputs["mask_present"])
        embedded = model.embed(ids, patches, views, inputs["region_inputs"])
        expected = {
            config.image_token_id: model.projector(patches)[0],
            config.mask_token_id: model.mask_encoder(*views)[0],
            config.region_token_id: model.mask_encoder.regions(inputs["region_inputs"], *views[:2])[0, 0],
        }
        plain = model.get_input_embeddings()(ids)
    for token, rows in expected.items():
        torch.testing.assert_close(embedded[ids == token], rows)
    words = ~torch.isin(ids, torch.tensor(list(expected)))
    torch.testing.assert_close(embedded[words], plain[words])


def test_a_batch_gives_the_answers_of_its_rows() -> None:
    """Rows with one and two regions, padded on both sides."""
    model, processor = assistant()
    two = [{"role": "user", "content": "<image><mask>Compare R2 <region> with R1 <region>, please?"}]
    regions = {"R1": box(10, 5, 40, 30), "R2": box(0, 0, 20, 9)}
    rows = [question(processor, 0), question(processor, 1, messages=two, regions=regions)]
    for side, last in (("right", None), ("left", -1)):
        batch = processor.collate(rows, padding_side=side)
        assert batch["region_inputs"].shape[:2] == (2, 2)
        with torch.no_grad():
            together = model(**batch, position_ids=(batch["attention_mask"].cumsum(1) - 1).clamp(min=0)).logits
            for i, row in enumerate(rows):
                alone = model(**row).logits[0, -1]
                place = int(row["attention_mask"].sum()) - 1 if last is None else last
                torch.testing.assert_close(together[i, place], alone, atol=1e-5, rtol=1e-4)


def test_an_absent_map_is_not_an_empty_one() -> None:
    model, processor = assistant()
    absent = question(processor, localization=None, trace_features=None)
    assert absent["mask_present"].tolist() == [False]
    empty = {**absent, "mask_present": torch.tensor([True])}
    with torch.no_grad():
        assert (model(**absent).logits - model(**empty).logits).abs().max() > 1e-4
        # What lies under an absent map does not matter.
        noise = {**absent, "mask_inputs": torch.rand_like(absent["mask_inputs"])}
        torch.testing.assert_close(model(**absent).logits, model(**noise).logits)


def test_placeholders_and_inputs_have_to_agree() -> None:
    model, processor = assistant()
    inputs = question(processor)
    with pytest.raises(ValueError, match=r"no pixel_values"):
        model(**{k: v for k, v in inputs.items() if k != "pixel_values"})
    with pytest.raises(ValueError, match=r"no region_inputs"):
        model(**{k: v for k, v in inputs.items() if k != "region_inputs"})
    ids = inputs["input_ids"]
    cut = torch.cat([ids[:, :3], ids[:, 4:]], dim=1)
    with pytest.raises(ValueError, match=r"image placeholders .*\[3\].*4 tokens"):
        model(**{**inputs, "input_ids": cut, "attention_mask": torch.ones_like(cut)})
    with pytest.raises(ValueError, match="wanted"):
        model(**{**inputs, "mask_inputs": inputs["mask_inputs"][..., :8]})
    places = torch.tensor([[True, False, True]])
    with pytest.raises(ValueError, match="do not match"):
        fill_placeholders(torch.zeros(1, 3, 4), places, torch.ones(1, 1, 4), 1, "mask")


def test_placeholders_are_never_written_and_seg_can_be(pair: Any) -> None:
    model, processor = pair
    inputs = question(processor)
    with torch.no_grad():
        output = model(**inputs)
        marks = [model.config.image_token_id, model.config.mask_token_id, model.config.region_token_id]
        assert (output.logits[..., marks] == torch.finfo(torch.float32).min).all()
        model.added_rows.output.copy_(100 * output.last_hidden_state[0, -1])
        written = model.generate(**inputs, max_new_tokens=1, do_sample=False)
    assert written[0, -1] == model.config.seg_token_id


def test_marks_may_lie_outside_of_the_vocabulary() -> None:
    """As they do for a published language model, whose embedding stays as it is."""
    model, processor = assistant("qwen2")
    config = model.config
    size = config.text_config.vocab_size
    old = torch.tensor([config.mark_ids[m] for m in config.mark_ids])
    inputs = answered(processor)
    with torch.no_grad():
        before = model(**inputs)
    moved = {m: size + 3 + i for i, m in enumerate(config.mark_ids)}  # three ids that nobody uses lie between
    config.set_marks(moved)
    for name in ("input_ids", "labels"):
        for a, b in zip(old.tolist(), moved.values(), strict=True):
            inputs[name] = inputs[name].masked_fill(inputs[name] == a, b)
    with torch.no_grad():
        after = model(**inputs)
    assert after.logits.shape[-1] == size + 7
    assert (after.logits[..., size : size + 3] == torch.finfo(torch.float32).min).all()
    torch.testing.assert_close(after.logits[..., moved["<SEG>"]], before.logits[..., int(old[3])])
    torch.testing.assert_close(after.seg_logits, before.seg_logits)


def test_generation_with_a_cache_is_generation_without(pair: Any) -> None:
    model, processor = pair
    rows = [
        question(processor, 0),
        question(processor, 1, messages=[{**QUESTION[0], "content": "<image><mask> R1 <region> now?"}]),
    ]
    batch = processor.collate(rows, padding_side="left")
    fast = model.generate(**batch, max_new_tokens=6, do_sample=False)
    slow = model.generate(**batch, max_new_tokens=6, do_sample=False, use_cache=False)
    assert fast.tolist() == slow.tolist()
    for i, row in enumerate(rows):
        alone = model.generate(**row, max_new_tokens=6, do_sample=False)
        assert alone[0, row["input_ids"].shape[1] :].tolist() == fast[i, batch["input_ids"].shape[1] :].tolist()
    beams = model.generate(**batch, max_new_tokens=4, num_beams=3, do_sample=False)
    alone = model.generate(**rows[1], max_new_tokens=4, num_beams=3, do_sample=False)
    assert beams[1, batch["input_ids"].shape[1] :].tolist() == alone[0, rows[1]["input_ids"].shape[1] :].tolist()


def test_regions_of_a_finished_text() -> None:
    model, processor = assistant()
    inputs = answered(processor)
    with torch.no_grad():
        trained = model(**inputs)
        found = model.segment(**{k: v for k, v in inputs.items() if k != "labels"})
        hidden = trained.last_hidden_state[inputs["input_ids"] == model.config.seg_token_id]
        logits, quality = model.decode_region(hidden, model.region_features(**_pictures(inputs)))
    side = 4 * model.config.settings.grid
    assert found.seg_logits.shape == (1, 1, side, side)
    assert found.loss is None
    for value in (trained.seg_logits, logits):
        torch.testing.assert_close(found.seg_logits, value, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.seg_quality, quality, atol=1e-5, rtol=1e-4)


def test_seg_without_a_target_takes_no_loss() -> None:
    model, processor = assistant()
    twice = [*ANSWERED, {"role": "user", "content": "And the other?"}, {"role": "assistant", "content": "There: <SEG>"}]
    one = answered(processor, messages=twice, seg_targets=[None, box(0, 0, 30, 30)])
    both = answered(processor, messages=twice, seg_targets=[box(40, 20, 60, 50), box(0, 0, 30, 30)])
    with torch.no_grad():
        first, second = model(**one), model(**both)
    assert first.seg_rows.tolist() == [0, 0]
    torch.testing.assert_close(first.seg_logits, second.seg_logits)
    target = one["seg_targets"][0, 1][None, None]
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(first.seg_logits[1:], target)
    torch.testing.assert_close(first.seg_bce, by_hand)
    assert not torch.isclose(second.seg_bce, by_hand)
    with pytest.raises(ValueError, match="at least 2"):
        model(**{**both, "seg_targets": both["seg_targets"][:, :1]})
    nothing = model(**{**one, "seg_targets": torch.full_like(one["seg_targets"], -1.0)})
    torch.testing.assert_close(nothing.loss, nothing.language_loss)
    silent = model(
        **answered(processor, messages=[*QUESTION, {"role": "assistant", "content": "No."}], seg_targets=None),
        decode_regions=True,
    )
    assert silent.seg_rows.tolist() == []
    silent.loss.backward()


def test_seg_learns_where_to_point() -> None:
    """Two pictures whose map tells the region; all but the language model is trained, as in stage 3."""
    model, processor = assistant()
    regions = [box(5, 5, 30, 25), box(40, 25, 65, 45)]
    rows = []
    for seed, region in enumerate(regions):
        inputs = answered(processor, seed, seg_targets=[region], regions={"R1": region})
        rows.append({**inputs, "mask_inputs": inputs["region_inputs"][0][:, [0, 1, 0]]})
    batch = processor.collate(rows)
    model.train()
    model.language_model.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(60):
        output = model(**batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    wanted = batch["seg_targets"] > 0.5
    found = output.seg_logits > 0
    iou = (found & wanted).sum((1, 2, 3)) / (found | wanted).sum((1, 2, 3))
    assert iou.min() > 0.7, iou


def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    model, processor = assistant()
    inputs = answered(processor)
    model.train()
    model(**inputs).loss.backward()
    plain = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert model.language_model.model.layers[0].gradient_checkpointing
    model(**inputs, use_cache=False).loss.backward()
    for name, parameter in model.named_parameters():
        if name in plain:
            torch.testing.assert_close(parameter.grad, plain[name], atol=1e-5, rtol=1e-3)


def test_bfloat16_language_model_and_autocast() -> None:
    model, processor = assistant()
    inputs = answered(processor)
    with torch.no_grad():
        exact = model(**inputs)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(**inputs)
        model.language_model.to(torch.bfloat16)
        half = model(**inputs)
    for output in (rough, half):
        assert output.seg_logits.dtype == torch.float32
        assert abs(float(output.language_loss - exact.language_loss)) < 0.1
        assert (output.seg_logits - exact.seg_logits).abs().max() < 0.1


def test_it_is_what_transformers_thinks_it_is() -> None:
    model, _ = assistant()
    assert isinstance(model, ForgeryAssistant)
    assert model.can_generate()
    assert model.generation_config.eos_token_id == 2
    assert model.get_input_embeddings() is model.language_model.model.embed_tokens
    assert model.get_output_embeddings() is model.language_model.lm_head
