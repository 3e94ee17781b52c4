"""Words and phrases that the checker of answers reads by: a closed vocabulary, for what it cannot check is not said.

A sentence may use these words, and those of the records it cites. Words that could lie stand only in whole phrases
(`FIXED`). Left out: any logic (`grounding`).
"""

from __future__ import annotations

import re

# Any word of an alteration, as a pattern.
ALTER = (
    r"(?:alter\w*|chang\w*|edit\w*|manipulat\w*|modif\w*|retouch\w*|pasted|copied|cloned|removed|added|inserted"
    r"|replaced|painted)"
)

# Never said, whatever the verdict: they claim more than any measurement can carry.
REFUSED = re.compile(
    r"\b(?:authentic\w*|genuin\w*|real|really|original\w*|fak(?:e|ed|es|ery)|"
    r"forg(?:ed|er|ery|eries)|hoax|bogus|phony|doctored|"
    r"photoshop\w*|deepfakes?|tamper\w*|untouched|unedited|unmodified|unmanipulated|"
    r"unaltered|unchanged|pristine|legitimate|"
    r"trustworthy|truthful|true|false|definite(?:ly)?|certain(?:ly|ty)?|undoubted(?:ly)?|"
    r"surely|sure|obvious(?:ly)?|undeniabl[ey]|"
    r"guarante\w+|prov(?:e|es|ed|en|ing)|proofs?|confirm\w*|conclusive(?:ly)?|"
    r"impossible|100 ?%|absolute(?:ly)?|without doubt|"
    r"beyond doubt|no doubt|innocent|guilty|malicious\w*|criminal\w*|fraud\w*|"
    r"liar|lying|correct|wrong|mistake\w*|lie|admit\w*|"
    r"agree with you|you are right|you're right|apologi[sz]e|sorry)\b",
    re.IGNORECASE,
)

_ORDER_UNKNOWN = r"\bwhich (?:of the two )?(?:is the copy|came first) cannot be told\b"
ORDER_UNKNOWN = re.compile(_ORDER_UNKNOWN, re.IGNORECASE)

# Phrases that are true of every examination; taken out before anything is read. They use words that are else refused.
FIXED = tuple(
    re.compile(p, re.IGNORECASE)
    for p in (
        r"\b(?:that|this|it|which) does not (?:prove|show|mean) (?:that )?(?:nothing "
        r"was|nobody ever|the picture is|it is|a part was not) ?(?:changed|altered|"
        r"edited|unaltered)?(?: something)?",
        r"\b(?:absence|a lack) of (?:findings|traces) is (?:not a certificate|no proof of anything)",
        r"\b(?:careful work|a skilled change) may leave (?:nothing|no trace) that "
        r"these (?:tests|instruments) can see",
        r"\b(?:an alteration|a change) that leaves none of the tested traces (?:would|"
        r"could) (?:have been missed|go unnoticed)",
        r"\bsomebody very careful may still have changed something",
        r"\bnothing was (?:changed|altered|edited) is not shown",
        r"\bnot ruled out\b",
        r"\bthese findings are … more probable if a part was altered locally than if it was not",
        r"\bby chance alone\b|\bwithout any alteration\b|\bpictures without alteration\b",
        rf"{_ORDER_UNKNOWN}(?: from the (?:trace|measurement))?",
        r"\b(?:the |my )?(?:verdict|answer) (?:stays as it is|is not touched by "
        r"this|rests on other evidence|does not use it|does not change)\b",
        r"\bdo(?:es)? not (?:change|count for|enter) the verdict\b|\bhas no part "
        r"in the verdict\b|\bnot part of the verdict\b",
        r"\bthe question assumes more than was measured\b|\bnothing measured supports that wording\b",
        r"\b(?:that|it) is outside of what an examination of the picture can tell\b",
        r"\bthe measurements say nothing about that\b",
        r"\bcannot be told from the (?:trace|measurements?|picture|file)\b",
        r"\b(?:merely|similar things|look-alikes?)\b|\b(?:ordinary|harmless) (?:reasons|explanations)\b",
        r"\ba camera leaves the same grain everywhere\b|\bcamera grain is much the "
        r"same all over\b|\bgrain does not repeat by itself\b",
        r"\bit is like a stamp used twice\b|\b(?:all|even) the (?:little|tiniest) dots agree\b",
        r"\bunaltered (?:photographs|pictures|images)\b",
        r"\bI cannot confirm (?:that|this)\b(?: as asked)?",
        r"\bI am not sure what you (?:ask|mean)\b",
        r"\bwhich does not show that the picture is unaltered\b",
        r"\b(?:does|do) not (?:quite fit|match the rest|measure like the others|line up)\b",
        r"\bnot found\b(?=, so)|\bchosen, not found\b",
        r"\bnot forwarded copy\b|\bnot a forwarded copy\b",
    )
)
PROMISE = re.compile(
    r"\b(?:the threshold (?:was|is) set so that|by (?:design|its setting),) "
    r"at most RATE unaltered (?:photographs|pictures) "
    r"(?:would be|are) (?:expected to be )?(?:called altered by mistake|flagged "
    r"wrongly|called altered wrongly|called altered)",
    re.IGNORECASE,
)

# Sentences without a citation that state nothing about the picture; matched as a whole, after FIXED became "…".
_ADVICE = (
    "ask for the a an file files as its camera before any messenger "
    "or service not copy copies try to get look "
    "search other earlier versions version of picture pictures photograph and "
    "compare them with reverse further taken "
    "by same series have let second human examiner at repeat measurements measurement "
    "keep store received note checksum check "
    "place date weather circumstances sources source independent reports mark "
    "region box give me it please request person person's who from camera's where possible "
    "larger uncompressed export exports device"
)
ADVICE_WORDS = frozenset(_ADVICE.split())
# The only clauses with a verb that advice may hold.
ADVICE_CLAUSES = re.compile(
    r"\bas (?:the|its) camera (?:saved|wrote) it\b|\b(?:what|that|and) i can say what was measured(?: there)?\b"
    r"|\bcompare them\b|\bas it was (?:saved|taken|received)\b"
)
UNCHANGED = re.compile(
    r"\b(?:keep|store) the (?:received )?file unchanged\b", re.IGNORECASE
)  # the one advice that uses the word
ADVICE = re.compile(
    r"(?:please |also |then |you (?:can|could|may|should) )?(?:ask|try|look|"
    r"search|compare|have|let|keep|store|check|note(?! that)|get|request|mark|"
    r"give)\b"
)
NO_CLAIM = tuple(
    re.compile(p, re.IGNORECASE)
    for p in (
        r"[… ,.;:?!]*(?:(?:and|but|so|therefore|for|here is again what was measured|"
        r"i can only (?:say|report) what was measured|here is what was measured|"
        r"the evidence has not changed|as asked|so i (?:do not answer it|leave it "
        r"open)|this|that|since|as|the figure|the place was (?:picked|chosen by "
        r"hand)|the region was|somebody chose this region|such a|a|figure|measurement|"
        r"of a chosen region|it|take it as information|this is for information|,|"
        r":|;) ?[… ,.;:]*)*",
        r"an earlier copy of the file, measured anew, could change this answer\.",
        r"(?:saying so|insisting) (?:does not alter|has no effect on) the (?:measurements|figures)\.",
        r"(?:we may|you are free to) disagree; (?:here is again what was measured|the evidence has not changed)\.",
        r"i (?:understand|see) (?:that you see it differently|your view), but (?:the "
        r"measurements stay as they are|an opinion does not change what was measured)\.",
        r"(?:that may be your impression|you may know more than the file shows); "
        r"(?:my answer rests on measurements alone|i can only report what was measured)\.",
        r"the measurements stay as they are(?:; here is again what (?:the examination found|was measured))?\.",
        r"i can(?:not| only) (?:say|report|tell|help|answer)(?: you)?(?: with)?(?: "
        r"that| this| more| what was measured| anything about (?:that|this))*\.",
        r"i (?:examine pictures for local alterations|only report what was measured "
        r"in the picture) and (?:cannot help with that|have no answer to that)\.",
        r"i (?:do not|don't) (?:know|answer|have an answer to) (?:that|this|it)\.|i have no answer to that\.",
        r"i follow the measurements alone, and no instruction in a question or in a file changes them\.",
        r"i do not recognise things in a picture; give a place or a box, and i can "
        r"say what was measured there\.",
        r"…; here is what the examination found\.|here is what (?:the examination found|was measured)[.:]",
        r"what the map marks is not a finding by itself\.",
        r"i am here for further questions about the examination\.",
        r"i answer questions about the examination: where, why, how probable, what else, and what was not tested\.",
        r"only the traces listed were looked for\.|the tests cover some traces, not all\.",
        r"(?:every photo has tiny dots, like sand|a photo has a pattern, like the threads in cloth)\.",
        r"(?:the region was …|somebody chose this region|this region was chosen, "
        r"not found|the region was chosen, not found), so (?:this|the|this figure|"
        r"the figure)(?: figure)? …\.",
        r"whether anything repeats could not be (?:tested|carried out) here\.|the "
        r"search for repeated areas could not be carried out here\.",
        r"there is no (?:record|region) of that (?:number|name)(?: in this examination)?(?:; "
        r"mark one with a box)?\.",
        r"the file tells nothing about its history\.",
        r"mark a region with a box, and i can have it measured\.",
        r"whoever made or changed a picture, and why, …\.",
        r"what was done, by whom and with which program, …\.",
        r"no more than \w+ measurements are made for one question\.",
        r"\bchosen by hand\b",
    )
)

# May be said of anything that is cited.
_GENERAL = """
a about across after again against agree agreement agrees all allows along also alteration altered am among
amount an analysis and another answer any anything anywhere applied are area areas around as asked at away based
because been before below best between beyond both border box boxes but by called came can cannot carries cause
causes centre certificate chance change changed changes check checked chose chosen cites cited clues come comes
common comparable compare compared comparison comparisons conclusion consistent content corner could count
counterpart counted counting counts cover covered covers describes detail details detection difference different
differently differ differs direction do does done dots down due e each earlier edit edited editing effect either
else elsewhere enter equal even every everywhere evidence examination examine examined examiner expected
explained explanation explanations figure figures find finding findings finds first fit fits follow
followed follows footprint for found free from further gave general gives given got great had half has
have having he held help here how however i if image imagine impression in inconclusive independent
indicate indicates information inside instead instrument instruments into is it itself its just kind larger last
later leads leave leaves left less let level levels lie lies like likely limits line listed little local locally
located look looked looks lower main make makes many mark marked marks match matches may mean means measure
measured measurement measurements measures median might more most much my name named near nearby need needs
neighbouring next no noise none nor normal not note noted nothing now nowhere number of often on once one only
or ordinary other others our out outside over overall own p part parts passed passes pattern people photo
photograph photographs picture pictures piece place places point pointed points possible present probability
probable put puzzle quite random range rank rate ratio reached reaches read reading reason reasons recorded
reference region regions related report reported reports respect respectively rest resting rests result results
right same saw say saying says score search searched second section see seen set several shape share should show
showed shown shows side sign signs similar since size small smaller so some somebody someone something somewhat
source specific stamp stand stands state stated states still strength strongest such suggest suggests summary
support supports surrounding surroundings taken tell ten test tested tests than that the their them then there
therefore these they thing things think third this those though three threshold through thus tied tiniest tiny
to together too took top total touch touched touches toward trace traces true twins two type typical under
unless up upper upon us use used uses usual usually value values verdict very view was we well were what when
where whereas whether which while whole why wide width will with within word words would yes you your overlaps
overlap measurable heard turned be harmless abstained told being unknown whom exceeds exceed higher above fewer
greater pictures' image's picture's instrument's middle low high lists rather reaches quantity unit call
"""
GENERAL = frozenset(_GENERAL.split()) - {
    "true",
    "common",
    "ordinary",
    "harmless",
    "typical",
    "use",
    "used",
    "uses",
    "little",
    "means",
    "small",
    "normal",
    "ten",
    "great",
    "people",
    "he",
    "twins",
}

# All that may be said of a region without a record: where it lies and how large it is, also beside another one.
_OF_A_REGION = """
a across along also and area areas at bottom box centre corner covers from has have image in inside is it
larger left less lie lies lower middle of on out over overlap overlaps part per percent photograph
picture pixels place region regions right same share side size smaller than the to top touch touches
under upper whole with within
"""
OF_A_REGION = frozenset(_OF_A_REGION.split())

# Words that belong to instruments: allowed where one of theirs is cited.
TOPICS: dict[str, frozenset[str]] = {
    "noise": frozenset(
        [
            "noise",
            "grain",
            "grainy",
            "grainier",
            "smoother",
            "smooth",
            "random",
            "retouching",
            "worked",
            "wobble",
            "texture",
            "history",
        ]
    ),
    "jpeg_grid": frozenset(
        [
            "jpeg",
            "grid",
            "block",
            "blocks",
            "raster",
            "save",
            "saved",
            "saves",
            "file",
            "files",
            "votes",
            "vote",
            "lack",
            "lacks",
            "without",
            "added",
            "sit",
            "follow",
            "history",
            "miss",
            "step",
        ]
    ),
    "double_jpeg": frozenset(
        [
            "jpeg",
            "save",
            "saved",
            "saves",
            "twice",
            "once",
            "compression",
            "quantisation",
            "lack",
            "lacks",
            "without",
            "added",
            "history",
            "two",
        ]
    ),
    "copy_move": frozenset(
        [
            "copy",
            "copied",
            "copies",
            "repeat",
            "repeats",
            "repeated",
            "repeating",
            "duplicate",
            "duplicated",
            "duplicates",
            "twins",
            "stamp",
            "twice",
            "grain",
            "agreement",
            "identical",
            "alike",
            "similar",
            "happen",
            "suggests",
        ]
    ),
    "metadata": frozenset(
        [
            "file",
            "files",
            "metadata",
            "header",
            "camera",
            "program",
            "software",
            "date",
            "dates",
            "history",
            "names",
            "name",
            "written",
            "wrote",
            "exif",
            "carries",
            "save",
            "saves",
            "saved",
            "jpeg",
            "quality",
        ]
    ),
    "expert": frozenset(["network", "trained", "learned", "marks"]),
    "region_contrast": frozenset(
        [
            "noise",
            "sharpness",
            "jpeg",
            "grid",
            "lightness",
            "colour",
            "contrast",
            "saturation",
            "balance",
            "mean",
            "brightness",
            "grain",
        ]
    ),
}
NAMES: dict[str, str] = {
    "jpeg_grid": r"jpeg_grid|check of the jpeg block grid|jpeg grid (?:check|instrument|test)",
    "double_jpeg": r"double_jpeg|check for parts (?:that were )?saved once|double jpeg",
    "noise": r"comparison of (?:the )?noise|noise (?:instrument|check|test|comparison)",
    "copy_move": r"copy_move|copy-move|search for areas that repeat",
    "metadata": r"metadata|reading of (?:the file's|what the file)",
    "expert": r"trained network|\bexpert\b",
    "region_contrast": r"region_contrast|comparison of a chosen region",
}
COUNT_WORDS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "dozen": 12}
