"""Templates of the two alignment sets: what is plainly there, and what a given mask covers. Strings only."""

from __future__ import annotations

_PIC = "{picture|photograph|image}"

# --- alignment: what is plainly there ---
SIZE_WORDS = (
    f"The {_PIC} {{measures|has|is}} {{width}} by {{height}} pixels, {{format}}.",
    f"It is a {_PIC} of {{width}} by {{height}} pixels, {{format}}.",
    "{Width and height are|Its sides are} {width} and {height} pixels{:|, that is} {format}.",
    "{Format|Framing}: {format}, {width} by {height} pixels.",
    (
        f"{{In|With}} {{width}} by {{height}} pixels, the {_PIC} {{is of|has}} {{this format|these proportions}}: "
        f"{{format}}."
    ),
)
LIGHT_WORDS = (
    f"The {_PIC} is {{light}}, with {{contrast}}.",
    "Overall it is {light}, with {contrast}.",
    "{It has|One sees} {contrast} and {it |}is {light} {as a whole|on the whole}.",
    "{Exposure|Light}: {light}; {contrast}.",
    f"{{Taken as a whole|All in all}}, the {_PIC} {{appears|looks}} {{light}} and shows {{contrast}}.",
    "{With {contrast}, it|The {scene|view}} is {light}{ overall|}.",
)
LIGHT_PLACES = (
    "The brightest part is {brightest_in}, the darkest {darkest_in}.",
    "{It is|The light is} brightest {brightest_in} and darkest {darkest_in}.",
    (
        "{Of nine equal fields|In a grid of nine fields}, it is brightest {brightest_in}{; it is|, and} darkest "
        "{darkest_in}."
    ),
    "{Light gathers|Most light falls} {brightest_in}, {shadow|least light} {darkest_in}.",
)
COLOUR_WORDS = (
    "The {main|dominant|prevailing} {colours|hues} are {colours}.",
    "{Dominant|Most frequent|Leading} colours: {colours}.",
    "{By area|Counted by area}, {the colours are|one finds} {colours}.",
    f"{{Much|Most}} of {{what one sees|the {_PIC}}} {{falls under|is made of}} {{colours}}.",
    "{Its palette|The palette} {is|holds} {colours}.",
)
COLOURFUL_WORDS = (
    "It has {colourfulness}.",
    "{One sees|There are|The picture has} {colourfulness}.",
    "{All told|In sum}, {it shows|one finds} {colourfulness}.",
    "{As to saturation|In terms of strength}: {colourfulness}.",
)
DETAIL_WORDS = (
    "{Its|The} fine detail is {sharpness} and its surfaces are {texture}.",
    f"The {_PIC} looks {{sharpness}} and {{texture}}.",
    "{Sharpness|Detail}: {sharpness}; {surfaces|texture}: {texture}.",
    "{Seen closely|Up close}, it is {sharpness} and {texture}.",
    "{Edges are|Rendering is} {sharpness}, {while|and} {areas are|the ground is} {texture}.",
)
OBJECT_WORDS = (
    "{Labelled|Named} in it: {objects}.",
    "{One sees|It shows|There is}: {objects}.",
    f"{{The labels of|What is labelled in}} {{this|the}} {_PIC}: {{objects}}.",
    "{By place and share of the area|Listed with place and share}: {objects}.",
)
OBJECT_SIDE = ("The {first} is {side} the {second}.",)
NO_OBJECTS = (
    "{No labels name what is shown|Nothing in it was labelled}, so {I do not name objects|objects are not named}.",
    "{Without labels|As there are no labels}, {no objects are named|I name no objects}.",
)

# --- a mask that comes with the picture ---
MASK_WHERE = (
    "{region} {lies|is} {place}, in the box {box}.",
    "{It is|One finds it} {place}: {region}, box {box}.",
    "{Place|Position} of {region}: {place}, {within|inside} {box}.",
    "{The box {box} holds {region}|{region} fits into {box}}, {place}.",
    "{Seen in the whole frame|In the frame}, {region} is {place} ({its box|the box around it}: {box}).",
)
MASK_PLACE = (
    "{region} {lies|is} {place}.",
    "{It is|One finds it} {place}: {region}.",
    "{Place|Position} of {region}: {place}.",
    "{Seen in the whole frame|In the frame}, {region} is {place}.",
)
MASK_SIZE = (
    "{region} covers {percent} of the {picture|image}, a {size_word} region.",
    "{It|The mask} {covers|takes up} {percent} of the {picture|image}: {region} is a {size_word} region.",
    "{With|At} {percent} of the {area|pixels}, {region} is a {size_word} region.",
    "{Size|Extent} of {region}: {percent} of the {picture|image}{, which makes it|:} a {size_word} region.",
)
MASK_SHAPE = (
    "Its outline is {shape}.",
    "{In shape, {region} is|{region} is} {shape}.",
    "{Shape|Outline|Form} of {region}: {shape}.",
    "{One would call|I would call} {its outline|the form of {region}} {shape}.",
)
MASK_PARTS = ("It has {parts} separate parts.", "{region} has {parts} separate parts{ in all|}.")
MASK_DIFFERS = (
    "{statistic} {inside|of {region}}: {value}, {against|compared with} {reference} around it {cites}.",
    "{Inside|In} {region}, {statistic_inside} is {value}; around it, {reference} {cites}.",
    (
        "{As to {statistic_inside}|For {statistic_inside}}, {region} {has|shows} {value} and {its ring of "
        "neighbours|what surrounds it} {reference} {cites}."
    ),
    "{statistic} {goes|changes} from {reference} around {region} to {value} {within|inside} {cites}.",
)
MASK_RANK = (
    "{Of|Among} {places} regions of the same size elsewhere, its {statistic_inside} exceeds {rank} % {cites}.",
    (
        "{Moved to|Compared with} {places} other places of the same size, {it|this} exceeds {rank} % in "
        "{statistic_inside} {cites}."
    ),
)
MASK_ORDINARY = (
    "{None of these figures|No figure} is unusual for this {picture|image} {cites}.",
    "{Such figures|Figures like these} are {ordinary|common} {in|for} this {picture|image} {cites}.",
)
MASK_OPERATION = (
    "{The content|What it shows} {operation}; the figures that differ {fit that|are consistent with it} {cites}.",
    "{region} {operation}, {which fits|in line with} {what was measured|the measurements} {cites}.",
    "{Going|Judging} by the figures, {this part|{region}} {operation} {cites}.",
    "{The measurements agree|What differs agrees} with {a part|content} that {operation} {cites}.",
)
MASK_NO_OPERATION = (
    "{Nothing measured|No measurement} names an operation {for|in} {region}{ with any confidence|}.",
    "{From|By} what can be measured, no operation can be named for {region}.",
    "{What was done to {region}, if anything,|Whether anything was done to {region}} {cannot be told|stays open}.",
)
