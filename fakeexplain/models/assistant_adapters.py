"""The assistant on disk: composed from parts, whole, or as adapters beside a language model that lies elsewhere.

Three forms, all safetensors, all loaded strictly with every misfit named:
- `compose` builds from a language model's folder and an open_clip tower's weights, in 4 or 8 bits if asked;
- `save_pretrained` / `from_pretrained` keep a whole assistant, as in every transformers model;
- `save_adapter` / `load_trained` keep only what was trained: our own parts, and LoRA in peft's format under `lora/`.

Deliberately left out: which parameters train (`training/`). peft is imported where it is used: it takes seconds, and a
merged assistant never needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from fakeexplain.errors import SettingsError
from fakeexplain.models.assistant_card import model_card
from fakeexplain.models.assistant_configuration import ForgeryAssistantConfig
from fakeexplain.models.vision_encoder import VisionEncoder
from fakeexplain.models.weights import misfits

if TYPE_CHECKING:
    from fakeexplain.models.assistant import ForgeryAssistant

Quantization = Literal["8bit", "4bit"]
OWN_PARTS = ("vision_encoder", "projector", "mask_encoder", "added_rows", "seg_projection", "mask_decoder")
PARTS_FILE, LORA_FOLDER = "parts.safetensors", "lora"
_LORA_WEIGHTS = "adapter_model.safetensors"
_PEFT_PREFIX = "base_model.model."  # of names in peft's files


def quantization_config(quantization: Quantization, compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """LLM.int8() (Dettmers et al., NeurIPS 2022) or NF4 with double quantisation (QLoRA, Dettmers et al., 2023)."""
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def keep_4bit_layout(model: nn.Module) -> None:
    """Keeps bitsandbytes from packing 4-bit weights anew when they are first used in evaluation on some CPUs.

    It does not unpack them to train again, and it cannot pack layers whose inputs are no multiple of 64 (0.50).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            layer: Any = module
            layer.support_avx512bf16_for_cpu = False


class AdapterMixin:
    """What `ForgeryAssistant` can do with files and adapters."""

    config: ForgeryAssistantConfig
    language_model: Any
    vision_encoder: Any

    @classmethod
    def compose(
        cls,
        config: ForgeryAssistantConfig,
        *,
        quantization: Quantization | None = None,
        dtype: torch.dtype = torch.float32,
        device_map: str | dict[str, Any] | None = None,
    ) -> ForgeryAssistant:
        """A new assistant: the language model of `config.language_model_path`, the tower of `vision.pretrained`.

        What has no weights anywhere is random. The `<SEG>` rows start at the mean of the language model's rows.

        Args:
            quantization: of the language model, by bitsandbytes, on CPU or GPU.
            dtype: of the language model; with 4 bits, of its computation.
            device_map: of the language model, as transformers takes it.

        Raises:
            SettingsError: weights that are missing or not those of the configuration.
        """
        path, language_model = config.language_model_path, None
        if path is None and quantization is not None:
            raise SettingsError(f"quantization {quantization}: there are no weights; set language_model_path")
        if path is not None:
            bits = None if quantization is None else quantization_config(quantization, dtype)
            try:
                language_model, info = AutoModelForCausalLM.from_pretrained(
                    path,
                    dtype=dtype,
                    quantization_config=bits,
                    device_map=device_map,
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,  # so that they are named below
                    output_loading_info=True,
                )
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                raise SettingsError(f"language model {path}: cannot be loaded ({error})") from None
            _check_info(path, info)
            _check_language_model(language_model, config)
            keep_4bit_layout(language_model)
        wants_tower = config.settings.vision.pretrained is not None
        model: ForgeryAssistant = cls(config, language_model=language_model, load_vision_weights=wants_tower)  # type: ignore[call-arg, assignment]
        if language_model is not None:
            with torch.no_grad():
                rows = model.get_input_embeddings().weight
                head = model.get_output_embeddings().weight
                size = float(rows.float().square().mean().sqrt())  # type: ignore[operator]
                for part in (model.projector, model.mask_encoder):
                    part.out_norm.weight.fill_(size)
                model.added_rows.input.copy_(rows.float().mean(0))  # type: ignore[operator]
                model.added_rows.output.copy_(head.float().mean(0))  # type: ignore[operator]
            for name in OWN_PARTS:
                getattr(model, name).to(language_model.device)
        if config.settings.vision.frozen:  # what trains stays float32
            model.vision_encoder.to(dtype)
        return model

    def take_tower(self, tower: VisionEncoder) -> None:
        """The image half's weights of another tower of the same shape, say the expert's.

        Raises:
            SettingsError: they do not fit; every name is listed.
        """
        own: Any = self.vision_encoder.clip.visual
        given: Any = tower.clip.visual
        if problems := misfits(own.state_dict(), given.state_dict()):
            raise SettingsError("take_tower: the towers differ:\n  " + "\n  ".join(problems))
        own.load_state_dict(given.state_dict(), strict=True)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but strict and never from pickles.

        Raises:
            SettingsError: the weights do not fit the configuration; every name is listed.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs |= {"output_loading_info": True, "use_safetensors": True, "ignore_mismatched_sizes": True}
        try:
            model, info = super().from_pretrained(  # type: ignore[misc]
                pretrained_model_name_or_path, *args, **kwargs
            )
        except (RuntimeError, SafetensorError) as error:
            raise SettingsError(f"{pretrained_model_name_or_path}: cannot be loaded ({error})") from None
        _check_info(pretrained_model_name_or_path, info)
        keep_4bit_layout(model)
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers, with a model card.

        Raises:
            SettingsError: LoRA is still apart; `save_adapter` keeps it so, `merge_lora` takes it in.
        """
        if self.has_lora:
            raise SettingsError(
                "LoRA is not merged; call merge_lora() to save a whole model, or save_adapter(folder) for adapters only"
            )
        super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        (Path(save_directory) / "README.md").write_text(model_card(self), encoding="utf-8")

    def _upload_modified_files(self, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        """transformers writes an empty card just before it uploads; ours takes its place."""
        (Path(working_dir) / "README.md").write_text(model_card(self), encoding="utf-8")
        return super()._upload_modified_files(working_dir, *args, **kwargs)  # type: ignore[misc]

    @property
    def has_lora(self) -> bool:
        """Low-rank adapters lie beside the language model's weights."""
        return bool(getattr(self.language_model, "peft_config", None))

    def add_lora(self) -> None:
        """Puts low-rank adapters into the language model, in place; nothing else of it can train then.

        Raises:
            SettingsError: there are adapters already, or the targets name nothing.
        """
        from peft import LoraConfig, inject_adapter_in_model

        if self.has_lora:
            raise SettingsError("add_lora: there are adapters already; merge_lora() first")
        settings, language = self.config.settings, self.language_model
        for flag in ("is_loaded_in_8bit", "is_loaded_in_4bit"):  # set on the outermost model that was loaded
            if getattr(self, flag, False):
                setattr(language, flag, True)
        targets = settings.lora_targets if isinstance(settings.lora_targets, str) else list(settings.lora_targets)
        lora = LoraConfig(
            r=settings.lora_r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=targets,
            task_type="CAUSAL_LM",
            base_model_name_or_path=self.config.language_model_path,
        )
        try:
            inject_adapter_in_model(lora, language)
        except ValueError as error:
            raise SettingsError(f"lora_targets {targets}: {error}") from None
        for parameter in language.parameters():
            if parameter.requires_grad:  # the adapters alone; Adam needs more digits than bfloat16 has
                parameter.data = parameter.data.float()

    def merge_lora(self) -> None:
        """Adds the adapters to the weights they belong to, in place; a no-op where there are none.

        Raises:
            SettingsError: the weights are quantised, which would round the adapters away.
        """
        language = self.language_model
        if not self.has_lora:
            return
        if getattr(language, "is_loaded_in_8bit", False) or getattr(language, "is_loaded_in_4bit", False):
            raise SettingsError(
                "merge_lora: the language model is quantised and would round the adapters away; save_adapter(folder), "
                "then load_trained(folder) without quantization, then merge"
            )
        for name, layer in _tuner_layers(language).items():
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(language.get_submodule(parent), child, layer.get_base_layer())
        del language.peft_config

    def save_adapter(self, folder: Path | str) -> None:
        """Writes only what was trained: config.json, our parts, LoRA in peft's format, and a model card.

        A tower that is frozen and comes from `vision.pretrained` is left out too.

        Raises:
            SettingsError: the configuration does not say where the language model lies.
        """
        if self.config.language_model_path is None:
            raise SettingsError("save_adapter: config.language_model_path is not set; adapters need a base to go on")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(path)
        save_file(self._own_state(), path / PARTS_FILE, metadata={"format": "pt"})
        if self.has_lora:
            from peft import get_peft_model_state_dict

            config = self.language_model.peft_config["default"]
            config.save_pretrained(path / LORA_FOLDER)
            state = get_peft_model_state_dict(self.language_model)
            named = {_PEFT_PREFIX + n: v.detach().cpu().contiguous() for n, v in state.items()}
            save_file(named, path / LORA_FOLDER / _LORA_WEIGHTS, metadata={"format": "pt"})
        (path / "README.md").write_text(model_card(self), encoding="utf-8")

    def _own_state(self) -> dict[str, Tensor]:
        vision = self.config.settings.vision
        parts = [p for p in OWN_PARTS if p != "vision_encoder" or vision.pretrained is None or not vision.frozen]
        modules: dict[str, nn.Module] = {p: getattr(self, p) for p in parts}
        return {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, module in modules.items()
            for name, value in module.state_dict().items()
        }

    @classmethod
    def load_trained(
        cls,
        folder: Path | str,
        *,
        language_model_path: str | None = None,
        quantization: Quantization | None = None,
        dtype: torch.dtype = torch.float32,
        device_map: str | dict[str, Any] | None = None,
    ) -> ForgeryAssistant:
        """An assistant from what `save_adapter` wrote and the language model that it belongs to.

        Args:
            language_model_path: where the language model lies now, if it was moved.
            quantization, dtype, device_map: as in `compose`.

        Raises:
            SettingsError: files are missing, or weights do not fit; every name is listed.
        """
        path = Path(folder)
        for name in ("config.json", PARTS_FILE):
            if not (path / name).is_file():
                raise SettingsError(f"{path}: no {name} there; wanted a folder that save_adapter wrote")
        config = ForgeryAssistantConfig.from_pretrained(path)
        if language_model_path is not None:
            config.language_model_path = language_model_path
        model = cls.compose(config, quantization=quantization, dtype=dtype, device_map=device_map)
        own, came = model._own_state(), _read(path / PARTS_FILE)
        if problems := misfits(own, came):
            raise SettingsError(f"{path}: {PARTS_FILE} does not fit config.json:\n  " + "\n  ".join(problems))
        model.load_state_dict(came, strict=False)  # checked above; the language model is not in it
        if (path / LORA_FOLDER / _LORA_WEIGHTS).is_file():
            from peft import get_peft_model_state_dict, set_peft_model_state_dict

            model.add_lora()
            wanted = get_peft_model_state_dict(model.language_model)
            named = {n.removeprefix(_PEFT_PREFIX): v for n, v in _read(path / LORA_FOLDER / _LORA_WEIGHTS).items()}
            if problems := misfits(wanted, named):
                raise SettingsError(f"{path}: LoRA does not fit config.json:\n  " + "\n  ".join(problems))
            set_peft_model_state_dict(model.language_model, named)
        return model.eval()


def _tuner_layers(model: nn.Module) -> dict[str, Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        values: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from None
    return values


def _check_info(path: Any, info: dict[str, Any]) -> None:
    problems = [f"missing {n}" for n in sorted(info["missing_keys"])]
    problems += [f"unexpected {n}" for n in sorted(info["unexpected_keys"])]
    problems += [f"{n} is {tuple(came)}, wanted {tuple(own)}" for n, came, own in sorted(info["mismatched_keys"])]
    problems += [str(message) for message in info["error_msgs"]]
    if problems:
        raise SettingsError(f"{path}: weights do not fit the configuration:\n  " + "\n  ".join(problems))


def _check_language_model(model: PreTrainedModel, config: ForgeryAssistantConfig) -> None:
    for name in ("model_type", "hidden_size", "vocab_size"):
        wanted, came = getattr(config.text_config, name), getattr(model.config, name)
        if wanted != came:
            raise SettingsError(
                f"language model {config.language_model_path}: {name} is {came}, the configuration says {wanted}; "
                "load the configuration with this model's path"
            )
