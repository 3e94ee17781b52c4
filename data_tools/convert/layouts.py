"""The list of all layouts: what each is called, who reads and writes it, and an example of its tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_tools.convert import classic, coco, descriptions, dialogues, huggingface, lists, recent
from data_tools.convert.base import Item, Problems, Ready
from data_tools.schema import Record

Reader = Callable[[Path, Problems, Path | None], list[Item]]
Writer = Callable[[Iterator[Ready], Path], None]


@dataclass(frozen=True)
class Layout:
    """One way of laying out a data set.

    Attributes:
        about: one line.
        tree: an example, as shown by `list`.
        read: folder or file -> items, noting problems.
        write: items -> files below a folder; None where the layout is only read.
        refuses: why it cannot hold a record (given whether there is a mask), or None.
    """

    about: str
    tree: str
    read: Reader
    write: Writer | None = None
    refuses: Callable[[Record, bool], str | None] | None = None


def _folder(read: Callable[[Path, Problems], list[Item]]) -> Reader:
    return lambda path, problems, images: read(path, problems)


LAYOUTS: dict[str, Layout] = {
    "jsonl": Layout(
        "records of this project: everything is kept",
        "manifest.jsonl\n"
        "images/a.jpg\n"
        "masks/a.png            white = forged\n"
        "donors/a.png           white = copied from here",
        lists.read_records,
        lists.write_records,
    ),
    "images-masks": Layout(
        "pictures and masks of the same stem; no mask = authentic (`fakeexplain bench` reads this)",
        "images/a.jpg\nimages/b.jpg           authentic: has no mask\nmasks/a.png            white = forged",
        lists.read_images_masks,
        lists.write_images_masks,
        lists.refuse_without_truth,
    ),
    "imdl-json": Layout(
        "IMDL-BenCo's JsonDataset",
        'imdl.json              [["Tp/a.jpg", "Gt/a.png"], ["Tp/b.jpg", "Negative"]]\n'
        "Tp/a.jpg\n"
        "Gt/a.png               white = forged",
        lists.read_imdl_json,
        lists.write_imdl_json,
        lists.refuse_without_truth,
    ),
    "tp-gt": Layout(
        "IMDL-BenCo's ManiDataset",
        "Tp/a.jpg\nGt/a.png               white = forged, all black = authentic",
        lists.read_tp_gt,
        lists.write_tp_gt,
        lists.refuse_without_truth,
    ),
    "coco": Layout(
        "COCO annotations with run lengths",
        "coco.json              images, annotations (segmentation: size, counts), categories\nimages/a.jpg",
        coco.read_coco,
        coco.write_coco,
    ),
    "llava": Layout(
        "LLaVA's JSON",
        'llava.json           [{"id", "image", "conversations": [{"from": "human", "value": "<image>\\n..."}, ...]}]\n'
        "images/a.jpg",
        dialogues.read_llava,
        dialogues.write_llava,
        dialogues.refuse_for_llava,
    ),
    "sharegpt": Layout(
        "ShareGPT with pictures (as LLaMA-Factory reads it)",
        'sharegpt.json          [{"conversations": [{"from": "human", "value"}, ...], "images": ["images/a.jpg"]}]\n'
        "images/a.jpg",
        dialogues.read_sharegpt,
        dialogues.write_sharegpt,
        dialogues.refuse_without_dialogue,
    ),
    "messages": Layout(
        "chat messages, one object a line",
        'messages.jsonl         {"messages": [{"role": "user", "content"}, ...], "images": ["images/a.jpg"]}\n'
        "images/a.jpg",
        dialogues.read_messages,
        dialogues.write_messages,
        dialogues.refuse_without_dialogue,
    ),
    "huggingface": Layout(
        "Hugging Face datasets with Image features (needs: pip install datasets)",
        "data/train-00000-of-00001.parquet      columns image, mask, donor_mask, label, record",
        huggingface.read_huggingface,
        huggingface.write_huggingface,
    ),
    "fakeshield": Layout(
        "FakeShield's sets with descriptions (MMTD-Set)",
        "photoshop/CASIAv2_Tp/image/a.jpg\n"
        "photoshop/CASIAv2_Tp/mask/a.png        white = forged\n"
        'photoshop/CASIAv2_Tp/lisa_train_gt.json   [{"image": "a.jpg", "query", "outputs"}]\n'
        "photoshop/CASIAv2_Au/image/b.jpg       no mask/ beside it: authentic\n"
        "MMTD_Set/MMTD-Set-34k.json             texts for any of the sets",
        descriptions.read_fakeshield,
        descriptions.write_fakeshield,
        lists.refuse_without_truth,
    ),
    "sida": Layout(
        "SIDA's SID-Set with descriptions",
        "train/real/r.jpg\n"
        "train/full_synthetic/s.png\n"
        "train/tampered/t.png\n"
        "train/masks/t_mask.png                 not black = forged\n"
        "validation/...\n"
        "text_label_images/description/tampered/descriptions_GPT.txt",
        descriptions.read_sida,
        descriptions.write_sida,
        descriptions.refuse_for_sida,
    ),
    "casia1": Layout(
        "CASIA 1.0 as released, with the published ground truth",
        "Au/Au_ani_0001.jpg\n"
        "Tp/Sp/Sp_D_CND_A_pla0005_pla0023_0281.jpg\n"
        "Tp/CM/Sp_S_NND_A_nat0054_nat0054_0189.jpg\n"
        "CASIA 1.0 groundtruth/Sp/Sp_D_CND_A_pla0005_pla0023_0281_gt.png   not black = forged\n"
        "CASIA 1.0 groundtruth/CM/...",
        _folder(classic.read_casia1),
    ),
    "casia2": Layout(
        "CASIA 2.0 as released, with the published ground truth",
        "Au/Au_ani_00001.jpg\n"
        "Tp/Tp_D_CRN_M_N_pla00035_pla00033_10997.jpg      Tp_D splice, Tp_S copy-move\n"
        "CASIA 2 Groundtruth/Tp_D_CRN_M_N_pla00035_pla00033_10997_gt.png   not black = forged",
        _folder(classic.read_casia2),
    ),
    "columbia": Layout(
        "Columbia Uncompressed Image Splicing",
        "4cam_auth/canong3_02_sub_02.tif\n"
        "4cam_splc/canong3_canonxt_sub_16.tif\n"
        "4cam_splc/edgemask/canong3_canonxt_sub_16_edgemask.jpg   green = spliced, red = host",
        _folder(classic.read_columbia),
    ),
    "coverage": Layout(
        "COVERAGE",
        "image/1.tif            authentic\n"
        "image/1t.tif           forged\n"
        "mask/1forged.tif       white = forged\n"
        "mask/1copy.tif         white = copied from here",
        _folder(classic.read_coverage),
    ),
    "dso1": Layout(
        "DSO-1 (Carvalho)",
        "DSO-1/normal-01.png\nDSO-1/splicing-01.png\nDSO-1-Fake-Images-Masks/splicing-01.png   black = forged",
        _folder(classic.read_dso1),
    ),
    "nist16": Layout(
        "NIST Nimble 2016 (NC2016_Test0613)",
        "probe/NC2016_0128.jpg\n"
        "world/NC2016_3272.jpg\n"
        "reference/manipulation/NC2016-manipulation-ref.csv     pairs them, fields parted by |\n"
        "reference/manipulation/mask/NC2016_3942.png            black = forged",
        _folder(recent.read_nist16),
    ),
    "imd2020": Layout(
        "IMD2020, manipulated pictures from the web",
        "00019/00019_orig.jpg                   authentic\n"
        "00019/c8q3tfm_0.png\n"
        "00019/c8q3tfm_0_mask.png               not black = forged",
        _folder(recent.read_imd2020),
    ),
    "korus": Layout(
        "Realistic Tampering (Korus)",
        "Canon_60D/pristine/DPP0012.TIF\n"
        "Canon_60D/tampered-realistic/DPP0012.TIF\n"
        "Canon_60D/ground-truth/DPP0012.PNG     three grey levels, not black = forged\n"
        "Nikon_D90/... Nikon_D7000/... Sony_A57/...",
        _folder(recent.read_korus),
    ),
    "cocoglide": Layout(
        "CocoGlide",
        "table.csv                              real,fake,mask,prompt: pairs them\n"
        "real/dining table_114871.png\n"
        "fake/glide_inpainting_val2017_114871_up.png\n"
        "mask/dining table_114871_mask.png      white = forged",
        _folder(recent.read_cocoglide),
    ),
    "autosplice": Layout(
        "AutoSplice",
        "Authentic/123.jpg\n"
        "Forged_JPEG100/123_0.jpg               and Forged_JPEG90/, Forged_JPEG75/\n"
        "Mask/123_mask.png                      not black = forged",
        _folder(recent.read_autosplice),
    ),
}
