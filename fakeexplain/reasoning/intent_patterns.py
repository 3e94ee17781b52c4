"""Weighted patterns of what a question may ask for, by intent.

Left out: scoring them, places and ids (`intents`); everyday and indirect forms (`intent_speech`).
"""

from __future__ import annotations

INSTRUMENT_WORDS: tuple[tuple[str, str], ...] = (
    (
        "double_jpeg",
        r"double[_ -]?jpeg|jpeg history|two jpeg saves|(?:earlier|previous|first) (?:jpeg )?save|saved twice",
    ),
    ("jpeg_grid", r"jpeg[_ -]?grid|block grid|jpeg block|8x8|blocks? (?:grid|pattern)|\bgrid\b"),
    (
        "region_contrast",
        r"region[_ -]?contrast|contrast|difference from the rest|sharpness|colou?r|brightness|lighting",
    ),
    ("copy_move", r"copy[_ -]?move|likeness|best match|look-?alike|clon(?:e|ing)\b|duplicat\w* search"),
    ("noise", r"\bnois[ey]\w*|\bgrain\w*"),
)
_EDIT = r"(?:edit|alter|chang|manipulat|modif|tamper|retouch|worked)"
_KIND = r"(?:kind|type|sort|form|category|method|technique|nature)"
_OPERATIONS = (
    r"(?:splic\w+|copy-?move|copy-?paste|clon\w+|inpaint\w+|(?:content-aware )?fill\w*|insert\w*|past\w+|remov\w+"
    r"|delet\w+|eras\w+|add(?:ed|ition)|retouch\w*|blurr\w+|airbrush\w*|touch-?up|cleaned up|put in"
    r"|taken (?:out|away)|something else)"
)
# How a part was altered, neither whether nor where. Learned beside the others it took their questions, for it shares
# all of its words with them; so these forms alone are read as such.
OPERATION = (
    rf"\b(?:how|(?:in|by|through) (?:what|which) (?:sort of |kind of )?(?:way|means|method|technique|processing))"
    rf"(?: exactly)?,? (?:was|were|is|has|have|did|had)\b(?! you\b).{{0,40}}"
    rf"\b(?:{_EDIT}\w*|done|do (?:it|that)|made)\b(?!.*\bwhere\b)",
    rf"\b(?:tell me|say|explain|know|tell|or|and|about) (?:how|the way|in what way) "
    rf"(?:it|this|they|somebody|someone|(?:that|the) (?:part|area|picture|photo|image|edit|change))\b"
    rf".{{0,24}}\b(?:{_EDIT}\w*|done|did it|made)\b",
    rf"\b{_KIND} of (?:\w+ )?(?:{_EDIT}\w*|forgery|operation|image manipulation|tampering)\b"
    r"(?!.*\b(?:invisible|blind|miss|overlook|detect\b|find|see)\b)",
    r"^(?:forgery|manipulation|alteration|edit) (?:type|method|technique|kind)\b",
    rf"\b(?:what|which) (?:{_EDIT}\w*|editing|manipulation) (?:technique|method|operation|type|kind|steps?)\b"
    r"|\b(?:what|which) (?:technique|method|operation) (?:was|were|has been) (?:used|applied)\b(?!.*\byou\b)",
    r"\bwhat (?:was|were|has been|have been|happened|did (?:they|he|she|someone|somebody|the editor))\b.{0,12}"
    r"\b(?:done|do|alter|change) (?:to|here|there|with|in|exactly)\b|\bwhat(?:'s| has)? been done\b"
    r"|\bwhat happened (?:to|in|at) (?:the|this|that) (?:\w+ )?(?:part|area|place|region|spot)\b",
    rf"\bwhat (?:changes|edits|modifications|alterations) (?:were|have been) made\b|^(?:describe|characteri[sz]e) the "
    rf"(?:{_EDIT}|tamper)\w*\b",
    rf"\b{_OPERATIONS}\b(?!,? to or)(?:,? \w+){{0,3}},? or\b.{{0,30}}\b(?:{_OPERATIONS}|what)\b"
    r"(?!.*\b(?:anywhere|at all)\b)",
    r"\b(?:insertion|splice|paste|clone|removal)\b,? or (?:a |an )?(?:deletion|removal|clone|copy|splice|paste)\b",
)
MEASURE = r"\b(?:measur\w+|test|check|look at|run|apply|analy[sz]e|reading|figure|value|level)\b"
# intent -> ((weight, pattern), ...)
INTENTS: dict[str, tuple[tuple[float, str], ...]] = {
    "injection": (
        (
            6,
            r"\b(?:ignore|forget|disregard|override|bypass|drop)\b.{0,40}\b(?:rules?|"
            r"instructions?|instruments?|measurements?|evidence|prompt|findings?|guidelines|"
            r"previous|above)",
        ),
        (
            6,
            r"\b(?:you are now|pretend|role-?play|act as|imagine you are|from now on|"
            r"new instructions?|system prompt|developer mode|jailbreak|simulate|suppose "
            r"you (?:were|are))\b",
        ),
        (
            5,
            r"\b(?:say|answer|write|reply|respond|state|repeat|output)\b.{0,30}\b(?:only|"
            r"that it is|it's|exactly|after me)\b.{0,30}\b(?:real|fake|authentic|genuine|"
            r"forged|original|unaltered|yes|no)\b",
        ),
        (4, r"\bset (?:the|your) (?:verdict|label|probability)|\bverdict\s*[:=]"),
        (4, r"\b(?:base64|</?system|\[inst|###|<\|)"),
    ),
    "pressure": (
        (5, r"\b(?:you are|you're|youre) (?:wrong|mistaken|lying|broken|useless|stupid|incorrect)\b"),
        (5, r"\b(?:admit|confess|concede|come on|be honest|stop lying|change your (?:mind|answer|verdict))\b"),
        (4, r"\b(?:disagree|do not agree|don't agree|i doubt|do not believe|don't believe)\b"),
        (4, r"\b(?:everybody|everyone|anyone|anybody|any fool|a child) (?:can|could|knows|sees)\b"),
        (
            4,
            r"\b(?:my (?:colleague|boss|editor|lawyer|expert|professor|friend|client)|"
            r"another (?:tool|expert|program)|the police|experts?) (?:is sure|says?|"
            r"said|told|thinks|found|confirmed)\b",
        ),
        (
            3,
            r"\bi (?:took|shot|made) (?:this|the|it)\b|\bmy own (?:picture|photo|image)|"
            r"\bi know (?:that|for a fact|it)|\bi was there\b",
        ),
        (
            3,
            r"\b(?:obviously|clearly|certainly|definitely|surely) (?:real|fake|forged|"
            r"authentic|genuine|edited|untouched|original|manipulated|altered)\b",
        ),
        (
            2,
            r"\b(?:lose my job|sue|will be fired|urgent|beg you|i order you|i demand|"
            r"or else|last chance|pay you)\b",
        ),
    ),
    "leading": (
        (4, r"\b(?:just )?(?:confirm|certify|guarantee|promise|swear|sign off|vouch)\b"),
        (
            4,
            r"\b(?:since|as|given that|because|now that) (?:it|this|the \w+) (?:is|was|"
            r"has been) .{0,20}\b(?:fake|forged|altered|edited|real|authentic|genuine|"
            r"manipulated|photoshopped)\b",
        ),
        (
            4,
            r"\b(?:who|which (?:program|software|tool|person|app)|what (?:program|software|"
            r"tool|app)|with (?:which|what) (?:program|software|tool))\b.{0,30}\b(?:did|"
            r"made|used|forged|faked|edited|altered|pasted|removed|manipulat|photoshop)",
        ),
        (
            4,
            r"^how (?:was|were|did) .{0,40}\b(?:pasted|removed|replaced|added|forged|"
            r"faked|inserted|erased|cloned)\b",
        ),
        (4, r"\bwhy (?:was|is|did) .{0,30}\b(?:faked|forged|photoshopped|fake|a forgery)\b"),
        (3, r"\b(?:isn't|is not|wasn't|right|correct|yes)\s*\?$"),
    ),
    "child": (
        (
            6,
            r"\b(?:child|children|kids?|eight-year-old|ten-year-old|\w+-year-old|year "
            r"old|grandmother|grandma|grandpa|layman|lay person|dummies|simple (?:words|"
            r"terms|language)|simply|plain (?:words|english)|as if i were|like i(?:'m|"
            r" am) (?:five|nine|\d+))\b",
        ),
    ),
    "court": (
        (
            6,
            r"\b(?:court|judges?|legal|expert report|case file|testimony|witness|affidavit|"
            r"jury|lawyer|tribunal|sworn|prosecut\w+|magistrate|official statement|expert "
            r"opinion|for the record)\b",
        ),
    ),
    "source_of_copy": (
        (
            6,
            r"\b(?:copied|copy|clon\w+|duplicat\w+|repeat\w*|stamped|twice|mirrored|"
            r"same thing)\b.{0,60}\b(?:from|source|origin\w*|where|itself|twice|elsewhere)\b",
        ),
        (
            6,
            r"\b(?:source|origin|original) of (?:the |this |that )?(?:copy|copied|clone|"
            r"duplicate|patch|piece|part|what was copied)",
        ),
        (5, r"\b(?:from where|where).{0,30}\b(?:copied|taken from|come from|cloned|lifted)\b"),
        (
            4,
            r"\b(?:copy-?move|repeated|duplicated|cloned|shown twice|appears? twice|"
            r"identical (?:areas|parts|places))\b",
        ),
        (3, r"\bwhich (?:of the two|one) is the (?:copy|original|source)\b"),
    ),
    "causes": (
        (
            5,
            r"\b(?:innocent|harmless|benign|alternative|ordinary|other|another|natural|"
            r"different)\b.{0,20}\b(?:explanations?|causes?|reasons?|readings?|interpretations?)\b",
        ),
        (5, r"\bwhat else\b.{0,40}\b(?:cause|explain|lead|produce|be|behind|account|create|do that)\b"),
        (
            5,
            r"\b(?:could|might|may|can) (?:this|that|it|the \w+|such \w+( \w+)?)( also)? "
            r"(?:be|come|have|result|stem|arise)\b.{0,30}\b(?:from|caused|by|due|because|"
            r"compression|camera|lens|scaling|resaving|coincidence|chance|artefact|artifact)\b",
        ),
        (
            4,
            r"\b(?:false positive|coincidence|by accident|artefacts?|artifacts?|just "
            r"compression|only compression)\b",
        ),
        (3, r"\b(?:other|alternative) (?:explanation|cause)"),
    ),
    "not_tested": (
        (
            6,
            r"\b(?:not|n't|never) (?:be |been |you )?(?:test|examin|check|look|cover|"
            r"investigat|analy[sz]|consider|able to)\w*",
        ),
        (
            5,
            r"\b(?:miss|missed|overlook\w*|blind spots?|limit\w*|weakness\w*|shortcomings?|"
            r"gaps|escape|undetected|left out|outside)\b",
        ),
        (
            5,
            r"\b(?:ai|a\.i\.|generat\w+|deepfake|diffusion|midjourney|dall-?e|synthetic|"
            r"made by a (?:computer|machine|model))\b",
        ),
        (3, r"\bwhat (?:can|could)(?:not|n't| you not)\b|\bcan you not tell\b|\bcannot tell\b"),
    ),
    "next_steps": (
        (
            6,
            r"\b(?:next steps?|what now|do next|should i do|what can i do|how do i proceed|"
            r"how should (?:i|we) proceed|go on from here|further (?:checks?|steps|work)|"
            r"check (?:this |it )?further|recommend\w*|advi[cs]e\w*|more certainty|be "
            r"more certain|verify (?:this|it) (?:further|myself)|find out more|settle|"
            r"would help|be useful|what would you need|better (?:file|copy)|additional "
            r"(?:material|evidence))\b",
        ),
    ),
    "confidence": (
        (
            5,
            r"\b(?:how (?:sure|certain|confident|reliable|likely|probable|safe|accurate|"
            r"trustworthy|strong|solid|much (?:trust|weight|confidence)))\b",
        ),
        (
            5,
            r"\b(?:probabilit\w+|likelihood|chances?|odds|percent(?:age)?|confidence|"
            r"certainty|false alarms?|error rate|rely on|trust (?:this|that|it|you)|"
            r"bet on|weight|margin of error|in how many cases|how often|wrong about)\b",
        ),
        (3, r"\b(?:sure|certain)\b.{0,10}\?$"),
    ),
    "show": (
        (
            6,
            r"\b(?:show|mark|outline|highlight|draw|segment|mask|circle|point (?:at|"
            r"to)|display|paint|colou?r in|indicate)\b(?! (?:that|how|why|evidence of))",
        ),
    ),
    "compare": (
        (
            6,
            r"\b(?:compare|comparison|differ\w*|larger|bigger|smaller|versus|vs\.?|between)\b.{0,40}\bR\d+\b.{"
            r"0,40}\bR\d+",
        ),
        (6, r"\bR\d+\b.{0,40}\b(?:and|with|to|than|from|or|versus|vs\.?)\b.{0,20}\bR\d+"),
    ),
    "evidence": (
        (6, r"\bE\d+\b"),
        (3, r"\bwhat does (?:the )?(?:first|second|third|strongest) (?:finding|evidence|record)"),
    ),
    "file": (
        (
            5,
            r"\b(?:metadata|exif|header|camera|software|program|gps|timestamp|file'?s? "
            r"(?:history|says?|tells?|facts?|information|data|itself)|content credentials|"
            r"c2pa|xmp|maker ?note|thumbnail|embedded)\b",
        ),
        (
            5,
            r"\b(?:saved|compress\w+|re-?saved|exported)\b.{0,30}\b(?:more than once|"
            r"several|twice|again|times|how often|quality)\b",
        ),
        (4, r"\bhow (?:often|many times).{0,20}\b(?:saved|compressed)\b"),
        (4, r"\bwhat does the file\b|\bin the file\b|\babout the file\b"),
    ),
    "dimensions": (
        (
            6,
            r"\b(?:how many (?:mega)?pixels|resolution|dimensions|file (?:size|format|"
            r"type)|how (?:large|big) is the (?:file|picture|image|photo)|what (?:size|"
            r"format)|which format|sha-?256|checksum|hash)\b",
        ),
    ),
    "instruments": (
        (
            5,
            r"\b(?:which|what) (?:instruments?|tests?|methods?|tools?|checks?|techniques?|"
            r"algorithms?)\b(?!.{0,30}\b(?:help|useful|used to (?:forge|alter|edit)))",
        ),
        (
            4,
            r"\b(?:how does (?:it|this|the examination) work|who (?:found|measured|flagged|"
            r"reported) (?:it|this|that)|what did .{0,20}instruments? (?:find|measure|"
            r"say))\b",
        ),
    ),
    "quality": (
        (
            5,
            r"\b(?:quality|good enough|suitable|fit for|too (?:small|compressed|blurry|"
            r"dark)|low resolution|examinable)\b",
        ),
    ),
    "explain": (
        (
            4,
            r"\b(?:why|on what grounds|how come|reason\w*|explain|grounds|basis|based "
            r"on|rests? on|justif\w+|walk me through|how did you (?:come|get|arrive|"
            r"reach|conclude)|what makes you|step by step|what (?:speaks|points|led)|"
            r"support(?:s|ing)?|in detail)\b",
        ),
        (4, r"\b(?:which|what) (?:measurements?|findings?|evidence|clues?|indications?|facts?)\b"),
        (2, r"\bwhat (?:exactly|precisely)\b"),
    ),
    "locate": (
        (
            5,
            r"\b(?:where|in which (?:place|part|area|region|corner)|whereabouts|location|"
            r"located|what place|which (?:part|area|region|place|corner|spot|section|"
            r"half|side)|what (?:part|area|region))\b",
        ),
        (4, r"\b(?:point out|name|list|tell me) (?:the |all )?(?:places?|regions?|areas?|parts?|spots?)\b"),
    ),
    "off_topic": (
        (
            6,
            r"\b(?:weather|stock|football|recipe|poem|joke|story|song|capital of|president|"
            r"phone should|laptop|buy|movie|translate|homework|python|code|horoscope|"
            r"lottery|cook|dinner|meaning of life|your (?:name|favou?rite)|who (?:made|"
            r"built|are) you|love me|politic\w*|vote)\b",
        ),
        (
            6,
            r"\bwho (?:is|are|was|were) (?:the |this |that |these |those )?(?:person|"
            r"people|man|woman|men|women|child|girl|boy|guy|he|she|they|shown|in)\b",
        ),
        (
            5,
            r"\b(?:when|where|which day|what (?:day|year|time|city|country)|in which "
            r"(?:city|country|year))\b.{0,20}\b(?:taken|shot|photographed|recorded)\b",
        ),
        (
            5,
            r"\b(?:photographer|who took|what (?:is|are) .{0,15}(?:doing|wearing|holding|"
            r"thinking)|is (?:he|she|it) (?:pretty|beautiful|happy|sad|angry)|how old)\b",
        ),
    ),
    "picture": (
        (
            5,
            r"\b(?:describe (?:this|the) (?:picture|photo\w*|image|scene)|what (?:is|"
            r"can be|do you) (?:in|seen|see|to be seen|shown)|caption)\b",
        ),
        (
            4,
            r"\b(?:what|which|main|dominant|the|name) colou?rs?\b|"
            r"\bdescription of (?:this|the) (?:picture|photo\w*|image)\b|\balt text\b",
        ),
    ),
    "map": (
        (
            6,
            r"\bheat ?maps?\b|\b(?:on|does|of|in|is|about|describe|read|explain) (?:the|its|your) (?:\w+ )?map\b|"
            r"\b(?:expert|network|model)'s (?:heat ?)?map\b",
        ),
    ),
    "thanks": (
        (
            6,
            r"^(?:thanks?|thank you|thx|great|ok(?:ay)?|good|hello|hi|hey|good (?:morning|"
            r"evening|day)|bye|goodbye)[\s!.,]*(?:a lot|very much|there|then)?[\s!.]*$",
        ),
    ),
    "help": (
        (
            6,
            r"\b(?:what can (?:you|i) (?:do|ask)|help me|how do (?:i|you) use|what are "
            r"you|which questions|what questions)\b",
        ),
    ),
    "detect": (
        (
            3,
            r"\b(?:alter\w*|chang\w*|edit\w*|manipulat\w*|tamper\w*|forg\w*|fake\w*|"
            r"photoshop\w*|doctor\w*|retouch\w*|modif\w*|real|authentic|genuine|original|"
            r"untouched|clean|trust\w*)\b",
        ),
        (
            4,
            r"\b(?:verdict|conclusion|result|outcome|summary|summar\w+|overall|bottom "
            r"line|finding|examination say|examine|check (?:this|the)|analy[sz]e)\b",
        ),
        (2, r"\b(?:anything|something|what) (?:wrong|suspicious|odd|strange|off|fishy|unusual)\b"),
    ),
}
