"""Shows cases in the report: what the judge looked at, what it said of it, its verdict, and the truth beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from unireward_plugins.media import Media
from unireward_plugins.shapes.captions import misses
from unireward_plugins.shapes.data import AnswerItem, GenerationItem
from unireward_plugins.shapes.evaluate import is_right, winner
from unireward_plugins.shapes.findings import Judged
from unireward_plugins.shapes.lesson import describe
from unireward_plugins.shapes.rubrics import FRAMES, NOUNS
from unireward_plugins.types import UNREAD_REASONS, Verdict

HEADINGS: Mapping[str, str] = {
    "image generation, point": "A picture made for a caption: how good is it?",
    "image generation, pair": "Two pictures made for a caption: which is better?",
    "image understanding, point": "An answer about a picture: how good is it?",
    "image understanding, pair": "Two answers about a picture: which is better?",
    "video generation, point": "A clip made for a caption: how good is it?",
    "video generation, pair": "Two clips made for a caption: which is better?",
    "video understanding, point": "An answer about a clip: how good is it?",
    "video understanding, pair": "Two answers about a clip: which is better?",
}
"""What the judge is asked in each cell."""
GRADE_NAMES: Mapping[int, str] = {5: "right", 3: "half right", 1: "wrong"}
"""What the grades of answers mean."""
CASES_SHOWN = 4
SIDE = 64
"""How wide a frame is in the coordinates of a filmstrip."""
_VERDICT = re.compile(r"(?:Final Score: \S+|(?:Image|Video|Answer) [12] is better)\s*$")


def kind_of_case(name: str, cases: Sequence[Judged]) -> str:
    """Some cases of one cell, and how many of all its cases were judged as they should be."""
    agreed = sum(case.agrees for case in cases)
    cards = "".join(map(card, choose(cases)))
    return (
        f'<section class="kind"><h3>{escape(HEADINGS[name])} <span class="quiet">{escape(name)}: the judge is right on '
        f'{agreed} of {len(cases)}</span></h3>\n<div class="cases">\n{cards}</div></section>'
    )


def choose(cases: Sequence[Judged]) -> list[Judged]:
    """The first cases, of candidates alone the first of each of three grades; and the first wrong verdict, if any."""
    if cases[0].swapped is not None:
        firsts = list(cases[: CASES_SHOWN - 1])
    else:
        by_grade = [[case for case in cases if case.item.grades[0] == grade][:1] for grade in GRADE_NAMES]
        firsts = [case for found in by_grade for case in found]
    if all(case.agrees for case in firsts):
        firsts += [case for case in cases if not case.agrees][:1]
    return [*firsts, *(case for case in cases if case not in firsts)][:CASES_SHOWN]


def card(judged: Judged) -> str:
    """One case: what was asked and shown, what the judge said, and what is true."""
    kind, mark = ("right", "✓ right") if judged.agrees else ("wrong", f"✗ {_where_wrong(judged)}")
    label = "Question" if judged.case.context else "Caption"
    return (
        f'<article class="case"><header><p><span class="label">{label}</span> {escape(judged.case.prompt)}</p>'
        f'<span class="mark {kind}">{mark}</span></header>\n<div class="seen">{_seen(judged)}</div>'
        f"{_truth(judged)}</article>\n"
    )


def quoted(text: str) -> str:
    """What somebody wrote, whatever it was."""
    return f"“{escape(text)}”" if text.strip() else '<span class="quiet">(nothing)</span>'


def picture(media: Media, *, side: int, shows: str) -> str:
    """A picture, inside the page."""
    return f'<img src="{media.data_url()}" width="{side}" height="{side}" alt="{escape(shows)}">'


def filmstrip(media: Media, *, shows: str) -> str:
    """A clip, inside the page: once in motion, where the page plays clips, and all its frames beside it.

    The frames are there once, side by side in one picture, and every other place shows a window of it.
    """
    import numpy as np

    frames = media.sample(FRAMES)
    name, width = f"clip-{media.digest[:16]}", SIDE * len(frames)
    row = Media.of(np.concatenate([np.asarray(frame.pil()) for frame in frames], axis=1)).data_url()
    windows = "".join(
        f'<svg viewBox="{SIDE * number} 0 {SIDE} {SIDE}"><use href="#{name}"/></svg>' for number in range(len(frames))
    )
    return (
        f'<div class="film" role="img" aria-label="{escape(shows)}"><svg class="player" viewBox="0 0 {SIDE} {SIDE}">'
        f'<g class="reel"><image id="{name}" href="{row}" width="{width}" height="{SIDE}"/></g></svg>'
        f'<div class="frames">{windows}</div></div>'
    )


def _where_wrong(judged: Judged) -> str:
    wrong = [not is_right(verdict, judged.item) for verdict in judged.verdicts]
    if len(wrong) == 1:
        return "wrong"
    return "wrong in both orders" if all(wrong) else f"wrong {'as shown' if wrong[0] else 'when swapped'}"


def _seen(judged: Judged) -> str:
    """What was shown, and what the judge said of it; alone, beside it."""
    shown, answers, said = _shown(judged), _answers(judged), _said(judged)
    if judged.swapped is None:
        return f'<div class="shown">{shown}</div>\n<div class="beside">{answers}{said}</div>\n'
    return f'<div class="shown both">{shown}{answers}</div>\n{said}'


def _shown(judged: Judged) -> str:
    """The pictures or clips."""
    case, item = judged.case, judged.item
    media = case.context or [one for one in case.candidates if isinstance(one, Media)]
    figures = []
    for number, (one, subject) in enumerate(zip(media, item.subjects, strict=True)):
        shows = describe(subject, flaws=True)
        drawn = filmstrip(one, shows=shows) if one.kind == "video" else picture(one, side=2 * SIDE, shows=shows)
        caption = f"<figcaption>{_candidate(judged, number)}</figcaption>" if len(media) > 1 else ""
        figures.append(f"<figure>{drawn}{caption}</figure>")
    return "".join(figures)


def _answers(judged: Judged) -> str:
    answers = [
        f"<div><dt>{_candidate(judged, number)}</dt><dd>{quoted(answer)}</dd></div>"
        for number, answer in enumerate(judged.case.candidates)
        if isinstance(answer, str)
    ]
    return f'<dl class="answers">{"".join(answers)}</dl>' if answers else ""


def _said(judged: Judged) -> str:
    """What the judge said, in each order."""
    if judged.swapped is None:
        return f'<div class="said"><h4>The judge</h4>{_words(judged.verdict, _score(judged.verdict))}</div>\n'
    parts = []
    for title, verdict in (("The judge, as shown", judged.verdict), ("The judge, swapped", judged.swapped)):
        parts.append(f"<div><h4>{title}</h4>{_words(verdict, _choice(judged, verdict))}</div>")
    return f'<div class="said both">{"".join(parts)}</div>\n'


def _words(verdict: Verdict, meaning: str) -> str:
    """The judge's words, a sentence a line, with the verdict apart, and what is read from it."""
    found = _VERDICT.search(verdict.reply)
    reasons = verdict.reply[: found.start()] if found else verdict.reply
    lines = "<br>".join(escape(line) for line in re.split(r"\n|(?<=;) +|(?<=\.) +(?=[A-Z])", reasons.strip()))
    said = f"<blockquote>{lines}</blockquote>" if lines else ""
    if not found and not lines:
        said = f"<blockquote>{quoted('')}</blockquote>"
    bare = f"<b>{escape(found.group().strip())}</b> " if found else ""
    return f'{said}<p class="verdict">{bare}<span class="quiet">{escape(meaning)}</span></p>'


def _score(verdict: Verdict) -> str:
    return _unread(verdict) if verdict.scores is None else f"score {verdict.scores[0]:.2f}"


def _choice(judged: Judged, verdict: Verdict) -> str:
    """Which of the candidates on the card the judge prefers; when they are swapped, it counts them the other way."""
    if verdict.scores is None:
        return _unread(verdict)
    chosen = winner(verdict)
    return "a tie" if chosen is None else f"chooses {_candidate(judged, chosen).lower()} of this card"


def _unread(verdict: Verdict) -> str:
    return f"no verdict: {UNREAD_REASONS[verdict.unread or 'no_verdict']}"


def _truth(judged: Judged) -> str:
    """What the exact checker says."""
    item = judged.item
    if isinstance(item, GenerationItem):
        lines = [_grades(judged, item, number) for number in range(len(item.grades))]
    else:
        assert isinstance(item, AnswerItem)
        shows, right = describe(item.subject, flaws=True), item.question.right_answer(item.subject)
        graded = (f"{_candidate(judged, number)}: {GRADE_NAMES[grade]}" for number, grade in enumerate(item.grades))
        lines = [escape(f"{shows}; to be answered: {right}"), f'<span class="grade">{escape(", ".join(graded))}</span>']
    return f'<div class="true"><h4>The truth</h4>{"".join(f"<p>{line}</p>" for line in lines)}</div>'


def _grades(judged: Judged, item: GenerationItem, number: int) -> str:
    """A candidate's grades from 1 to 5, and what is amiss."""
    subject, found = item.subjects[number], item.dimensions[number]
    named = {"alignment": found.alignment, "coherence": found.coherence, "style": found.style}
    grades = ", ".join(
        f'<span class="low">{name} {grade}</span>' if grade < 5 else f"{name} {grade}" for name, grade in named.items()
    )
    lacks = [f"not {fact}" for fact in misses(item.caption, subject)]
    amiss = ", ".join(dict.fromkeys((*lacks, *subject.damages, *subject.flaws))) or "nothing amiss"
    return (
        f'<span class="grade">{_candidate(judged, number)}: {found.overall} of 5</span> '
        f'<span class="grades">({grades})</span> {escape(amiss)}'
    )


def _candidate(judged: Judged, number: int) -> str:
    """What the judge calls a candidate."""
    noun = NOUNS[judged.item.cell[0]].capitalize()
    return f"{noun} {number + 1}" if len(judged.case.candidates) > 1 else noun
