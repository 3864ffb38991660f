"""Readers against replies as models write them, ugly ones included. `None` stands for: no verdict, never a guess."""

import pickle

import pytest

from unireward_plugins.parsing import (
    Reader,
    dim_lines,
    edit_json,
    edit_pair_numbers,
    final_score,
    five_dim,
    flex_json,
    overall_judgment,
    pair_blocks,
    think_answer,
    verdict,
    word_scores,
)
from unireward_plugins.types import UNREAD_REASONS, Verdict

ACS = ("alignment", "coherence", "style")
FIRST, SECOND, TIE = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)

READERS: dict[str, Reader] = {
    "verdict": verdict(ties=True),
    "verdict without ties": verdict(ties=False),
    "overall_judgment": overall_judgment(),
    "final_score": final_score(1, 5),
    "final_score to 100": final_score(0, 100),
    "dim_lines": dim_lines(*ACS),
    "word_scores": word_scores(*ACS),
    "pair_blocks": pair_blocks(*ACS),
    "five_dim": five_dim(),
    "think_answer": think_answer(),
    "edit_pair_numbers": edit_pair_numbers(),
    "edit_json": edit_json("success", "restraint"),
    "flex_json": flex_json(),
}

every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def expect(found: Verdict, wanted: tuple[float, ...] | str) -> None:
    """The verdict has these scores, or none for this reason."""
    if isinstance(wanted, str):
        assert (found.scores, found.unread) == (None, wanted)
    else:
        assert found.unread is None
        assert found.scores == pytest.approx(wanted)


@every_reader
@pytest.mark.parametrize("reply", ["", "   \n\t", None, 4, b"Final Score: 4"])
def test_no_reply_is_no_verdict(read: Reader, reply: object) -> None:
    found = read(reply)  # type: ignore[arg-type]  # backends of third parties return all sorts of things
    expect(found, "empty")
    assert isinstance(found.reply, str)


@every_reader
def test_reasoning_that_was_cut_off_is_no_verdict(read: Reader) -> None:
    cut = "<think>Image 1 is better. Final Score: 4\nAlignment Score: 4\nCoherence Score: 4\nStyle Score: 4"
    expect(read(cut), "truncated")
    expect(read("<think>first</think> then <think>" + cut.removeprefix("<think>")), "truncated")


@every_reader
@pytest.mark.parametrize(
    "reply", ["I cannot help with that.", "Final", "{", "\x00", "Great picture!", "<answer></answer>"]
)
def test_a_reply_without_a_verdict_gives_none_for_a_known_reason(read: Reader, reply: str) -> None:
    found = read(reply)
    assert found.scores is None
    assert found.unread in UNREAD_REASONS
    assert found.reply == reply


@every_reader
def test_readers_pickle_and_compare(read: Reader) -> None:
    assert pickle.loads(pickle.dumps(read)) == read
    assert hash(pickle.loads(pickle.dumps(read))) == hash(read)


def test_what_a_reply_says_after_its_reasoning_counts_alone() -> None:
    expect(final_score(1, 5)("<think>Final Score: 1</think>\nFinal Score: 4"), (0.75,))
    # Chat templates may put the opening tag before the reply.
    expect(final_score(1, 5)("Final Score: 1\n</think>\n\nFinal Score: 4"), (0.75,))
    expect(verdict(ties=True)("<THINK>Image 1 is better</THINK>Image 2 is better"), SECOND)
    expect(final_score(1, 5)("<think>Final Score: 1</think>"), "no_verdict")


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("Image 1 is better than Image 2.", FIRST),
        ("Image 2 is better than Image 1.", SECOND),
        ("**Image 2 is better.**", SECOND),
        ("__Image 2__ is better.", SECOND),
        ("Image\xa01\u3000is better", FIRST),
        ("Image 1 is slightly better than Image 2.", FIRST),
        ("Image 1 is much, much better", "no_verdict"),
        ("image 1 was clearly better", FIRST),
        ("Video 2 is better", SECOND),
        ("Answer 1 is better", FIRST),
        ("Response 2 is better", SECOND),
        ("The first response is better because it is true.", FIRST),
        ("the second edited image is better", SECOND),
        ("Edited image 2 is better", SECOND),
        ("Both images are equally good.", TIE),
        ("Image 1 is not better than Image 2.", "no_verdict"),
        ("Image 1 is clearly not better than Image 2.", "no_verdict"),
        ("Image 1 is no better than Image 2.", "no_verdict"),
        ("Image 1 is far from better.", "no_verdict"),
        ("'Image 1 is better' or 'Image 2 is better'", "both"),
        ("Image 1 is better or Image 2 is better", "both"),
        ("Neither Image 1 nor Image 2 is better.", "both"),
        ("I was asked whether Image 1 is better. Image 2 is better.", SECOND),
        ("I don't think that Image 1 is better. Image 2 is better.", SECOND),
        ("I do not think Image 1 is better than Image 2.", "both"),
        ("One cannot say the first image is better.", "both"),
        ("They are not equally good: Image 1 is better.", FIRST),
        ("Image 12 is better", "no_verdict"),
        ("Image 1 is better in color. Image 2 is better overall.", SECOND),
        ("Image 2 is better in color.\nTherefore Image 1 is better.", FIRST),
        ("Image 2 is better in style. In conclusion, image 1 is better lit. Image 2 is better.", SECOND),
        ("Image 1 is better in style. In conclusion: see above. Image 2 is better and image 1 is better.", "both"),
        ("Image 1 is better. Both images are equally good.", TIE),
        ("Final", "no_verdict"),
        ("The better image is hard to name.", "no_verdict"),
    ],
)
def test_verdict(reply: str, wanted: tuple[float, ...] | str) -> None:
    expect(verdict(ties=True)(reply), wanted)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("Answer 2 is better", SECOND),
        ("Both answers are equally good.", "no_verdict"),
        ("Both answers are equally good in style. Answer 1 is better.", FIRST),
        ("Answer 1 is better in style. Overall, they are equally good.", "no_verdict"),
    ],
)
def test_verdict_where_a_tie_is_not_allowed(reply: str, wanted: tuple[float, ...] | str) -> None:
    expect(verdict(ties=False)(reply), wanted)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (
            "At first Answer 1 is better on detail. ... Overall Judgment: Because of 2.0 errors, Answer 2 is better.",
            SECOND,
        ),
        ("**Overall Judgement:** Answer 1 is better than Answer 2.", FIRST),
        ("Answer 2 is better.", SECOND),
        ("Overall Judgment: Answer 1 is better. Overall Judgment: Answer 2 is better.", SECOND),
        ("Answer 1 is better on detail. Overall Judgment:", "no_verdict"),
        ("Overall Judgment: both answers are equally good.", "no_verdict"),
        ("Overall Judgment: Answer X is better.", "no_verdict"),
    ],
)
def test_overall_judgment(reply: str, wanted: tuple[float, ...] | str) -> None:
    expect(overall_judgment()(reply), wanted)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("a dog (animal): 1\nFinal Score: 3.7", 3.7),
        ("Final Score: 4/5", 4),
        ("Final Score: 4.0 / 5.0", 4),
        ("Final Score: 4 out of 5", 4),
        ("**Final Score:** 4", 4),
        ("Final Score: **4.5**", 4.5),
        ("***Final** Score*: `4.5`", 4.5),
        ("Final Score (1-5): 4", 4),
        ("Final Score [1 to 5]: 4", 4),
        ("Final Score：4", 4),  # noqa: RUF001
        ("Final\xa0Score:\n\n4", 4),
        ("final score = 4", 4),
        ("Final Score – 4", 4),  # noqa: RUF001
        ("Final Score 4", 4),
        ("Final Score: +4.", 4),
        ("Final Score: 2. No, wait. Final Score: 3", 3),
        ("Final Score: 4. This final score speaks for itself, as does every final score - mine too.", 4),
        ("4", 4),
        (" 4.5\n", 4.5),
        ("4/5.", 4),
        ("Final Score: 10", "range"),
        ("Final Score: 8/10", "range"),
        ("Final Score: 4 out of 10", "range"),
        ("Final Score: 0", "range"),
        ("Final Score: -2", "range"),
        ("Final Score: −2", "range"),  # noqa: RUF001
        ("Final Score: inf", "range"),
        ("Final Score: " + "9" * 10_000, "range"),
        ("Final Score: nan", "nan"),
        ("7", "range"),
        ("dog (animal): 1", "no_verdict"),
        ("I give it a 4", "no_verdict"),
        ("4 dogs", "no_verdict"),
        ("Final Score: 4-5", "no_verdict"),
        ("Final Score: 4\nFinal Score: four", "no_verdict"),
        ("Final Score: 4. No, wait. Final Score (1-5): 2 or 3", "no_verdict"),
        ("Final Score: 4\n**Final Score:**", "no_verdict"),
        ("Final Score: 3 to 4", "no_verdict"),
        ("Final Score: 1.2.3", "no_verdict"),
        ("Final Score: 4,5", "no_verdict"),
        ("Final Score: 4e5", "no_verdict"),
        ("Final Score: four", "no_verdict"),
        ("Final Score: F̶i̶v̶e̶", "no_verdict"),
        ("Final Score: ４", "no_verdict"),  # noqa: RUF001
        ("ﬁnal score: 4", "no_verdict"),
    ],
)
def test_final_score_from_1_to_5(reply: str, wanted: float | str) -> None:
    found = final_score(1, 5)(reply)
    expect(found, wanted if isinstance(wanted, str) else ((wanted - 1) / 4,))
    assert isinstance(wanted, str) or found.aspects["final_score"] == (wanted,)


@pytest.mark.parametrize(
    ("reply", "low", "high", "wanted"),
    [
        ("Final Score: 10", 1, 10, 1.0),
        ("Final Score: 85", 0, 100, 0.85),
        ("Final Score: 0", 0, 100, 0.0),
        ("Final Score: 85/100", 0, 100, 0.85),
    ],
)
def test_final_score_on_other_scales(reply: str, low: float, high: float, wanted: float) -> None:
    expect(final_score(low, high)(reply), (wanted,))


def test_final_score_tells_which_elements_the_judge_found() -> None:
    found = final_score(1, 5)("a dog (animal): 1\n  red (color, of the ball): 0\nwhatever (x): 7\nFinal Score: 3")
    assert found.aspects == {
        "final_score": (3.0,),
        "element/a dog (animal)": (1.0,),
        "element/red (color, of the ball)": (0.0,),
    }
    assert final_score(1, 5)("a dog (animal): 1").aspects == {"element/a dog (animal)": (1.0,)}


UPSTREAM_2_0 = "Alignment Score (1-5): 2.694700002670288\nCoherence Score (1-5): 2.371500015258789\nStyle Score (1-5): "


def test_dim_lines_are_averaged_on_0_to_1() -> None:
    found = dim_lines(*ACS)(UPSTREAM_2_0 + "2.802500009536743")
    expect(found, ((2.694700002670288 + 2.371500015258789 + 2.802500009536743 - 3) / 12,))
    assert found.aspects["coherence"] == (2.371500015258789,)


@pytest.mark.parametrize(
    ("style", "reason"),
    [("nan", "nan"), ("", "incomplete"), ("10", "range"), ("0", "range"), ("3/10", "range"), ("high", "incomplete")],
)
def test_dim_lines_keep_what_was_read_where_a_dimension_is_missing(style: str, reason: str) -> None:
    found = dim_lines(*ACS)(UPSTREAM_2_0 + style)
    expect(found, reason)
    assert found.aspects == {"alignment": (2.694700002670288,), "coherence": (2.371500015258789,)}


def test_dim_lines_read_the_last_of_each_and_ignore_markup_and_order() -> None:
    reply = "**Style Score (1–5):** 1\nStyle Score: 5\nAlignment Score: 5/5\nCoherence Score ( 1 - 5 ) : 5"  # noqa: RUF001
    expect(dim_lines(*ACS)(reply), (1.0,))
    expect(dim_lines("alignment", "physics")("Alignment Score: 1 Physics Score: 5"), (0.5,))
    expect(dim_lines("alignment", "physics")("Alignment Score: 1 Physics Score: 5 Alignment Score: low"), "incomplete")


WORDS = (
    'Word-wise Scores: [["a", 0.1], [\'dog\', 0.9], ["a", -0.3], ["say \\"hi\\"", 0.2], ["[No_mistakes]", 0.05]]\n\n'
)
LINES = "Alignment Score (1-5): 3\nCoherence Score (1-5): 3\nStyle Score (1-5): 3"


def test_word_scores_come_with_the_dimensions() -> None:
    found = word_scores(*ACS)(WORDS + LINES)
    expect(found, (0.5,))
    assert found.aspects == {
        **dict.fromkeys(ACS, (3.0,)),
        "word/a": (0.1,),
        "word/dog": (0.9,),
        'word/say "hi"': (0.2,),
        "word/[No_mistakes]": (0.05,),
    }


@pytest.mark.parametrize("words", ["", "Word-wise Scores: [", 'Word-wise Scores: [["a", nan]]', '[["a", 0.1]]\n'])
def test_word_scores_do_without_the_list(words: str) -> None:
    found = word_scores(*ACS)(words + LINES)
    expect(found, (0.5,))
    assert set(found.aspects) == set(ACS)


def test_word_scores_without_dimensions_are_no_verdict() -> None:
    found = word_scores(*ACS)(WORDS)
    expect(found, "no_verdict")
    assert found.aspects["word/dog"] == (0.9,)


def blocks(*shares: tuple[object, object], noun: str = "Image") -> str:
    return "\n\n".join(
        f"{name.capitalize()} Score:\n {noun} 1: {first}\n {noun} 2: {second}"
        for name, (first, second) in zip(ACS, shares, strict=False)
    )


def test_pair_blocks_are_averaged() -> None:
    found = pair_blocks(*ACS)(blocks((0.4357, 0.5643), (0.5, 0.5), (0.9, 0.1)))
    expect(found, ((0.4357 + 0.5 + 0.9) / 3, (0.5643 + 0.5 + 0.1) / 3))
    assert found.aspects["alignment"] == pytest.approx((0.4357, 0.5643))
    expect(pair_blocks(*ACS)(blocks((1, 0), (1, 0), (1.0, 0), noun="Video")), FIRST)


def test_pair_blocks_divide_small_errors_out() -> None:
    expect(pair_blocks("alignment")(blocks((0.62, 0.42))), (0.62 / 1.04, 0.42 / 1.04))


@pytest.mark.parametrize(
    ("style", "reason"),
    [
        (("nan", "nan"), "nan"),
        ((0.5, "nan"), "nan"),
        ((0.5, ""), "incomplete"),
        (("", 0.5), "incomplete"),
        ((0.7, 0.7), "range"),
        ((0, 0), "range"),
        ((7, 3), "range"),
    ],
)
def test_pair_blocks_keep_what_was_read_where_a_dimension_is_missing(style: tuple[object, object], reason: str) -> None:
    found = pair_blocks(*ACS)(blocks((0.4357, 0.5643), (0.2, 0.8), style))
    expect(found, reason)
    assert set(found.aspects) == {"alignment", "coherence"}


def test_pair_blocks_need_their_labels() -> None:
    expect(pair_blocks(*ACS)("Image 1: 0.4\nImage 2: 0.6"), "no_verdict")
    assert pair_blocks(*ACS)(blocks((0.4, 0.6)) + "\nIn all,\nImage 1: 0.9\nImage 2: 0.1").aspects == {
        "alignment": (0.4, 0.6)
    }


FIVE = (
    "visual quality: 4\ntemporal consistency: 4\ndynamic degree: 3\ntext-to-video alignment: 1\nfactual consistency: 2"
)


@pytest.mark.parametrize(
    ("final", "aspect"), [("6", (6.0,)), ("6/10", (6.0,)), ("0", None), ("11", None), ("nan", None), ("", None)]
)
def test_five_dim_counts_the_dimensions_and_not_the_untrained_final_score(
    final: str, aspect: tuple[float, ...] | None
) -> None:
    found = five_dim()(f"{FIVE}\nFinal Score: {final}")
    expect(found, ((3 + 3 + 2 + 0 + 1) / 15,))
    assert found.aspects["text_to_video_alignment"] == (1.0,)
    assert found.aspects.get("final_score") == aspect


@pytest.mark.parametrize(
    ("changed", "reason"),
    [(FIVE.replace("4", "5"), "range"), (FIVE.replace("4", "nan"), "nan"), (FIVE.replace("visual", "v"), "incomplete")],
)
def test_five_dim_wants_all_five(changed: str, reason: str) -> None:
    expect(five_dim()(changed + "\nFinal Score: 6"), reason)


def test_five_dim_does_not_take_the_final_score_instead() -> None:
    found = five_dim()("Final Score: 6")
    expect(found, "no_verdict")
    assert found.aspects == {"final_score": (6.0,)}


THOUGHT = (
    "<think>\n1. Semantic consistency: Image 1 (9/10) - ...; Image 2 (7/10) - ...\n"
    "2. Aesthetics: Image 2 (8/10) - ...; Image 1 (6/10) - ...\n"
    "Total score:\nImage 1: 9+8=17\nImage 2: 7+8=15\n</think>\n"
)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (THOUGHT + "<answer>Image 1 is better</answer>", FIRST),
        (THOUGHT.removeprefix("<think>") + "<answer>Image 1 is better</answer>", FIRST),
        ("<answer>Image 1 is better</answer>", FIRST),
        ("<think>...</think><answer>Video 2 is better", SECOND),
        ("<answer>Video 2 is better", SECOND),
        ("...</think>Answer 2 is better", SECOND),
        ("<answer>Image 1 is better</answer> Sorry: <answer>Image 2 is better</answer>", SECOND),
        ("<answer>Image 1 is better</answer> and Image 2 is better", FIRST),
        ("<answer>Image 1 is better</answer><answer>Image 2", FIRST),
        ("Image 1 is better", FIRST),
        ("**Image 2 is better.**\n", SECOND),
        ("<think>1. Semantic ... Image 1 is better because", "truncated"),
        ("1. Semantic ... Image 1 is better because of", "truncated"),
        ("</answer> Image 1 is better because of", "truncated"),
        (THOUGHT + "<answer>", "no_verdict"),
        (THOUGHT, "no_verdict"),
        ("<think>Image 1 is better</think>", "no_verdict"),
        ("<answer>Both are equally good</answer>", "no_verdict"),
        ("<answer>Image 1 is better or Image 2 is better</answer>", "both"),
    ],
)
def test_think_answer(reply: str, wanted: tuple[float, ...] | str) -> None:
    expect(think_answer()(reply), wanted)


def test_think_answer_adds_the_dimensions_up_itself() -> None:
    found = think_answer()(THOUGHT + "<answer>Image 2 is better</answer>")
    expect(found, SECOND)
    assert found.aspects == {
        "dimension/semantic consistency": (9.0, 7.0),
        "dimension/aesthetics": (6.0, 8.0),
        "total": (15.0, 15.0),
    }


def test_think_answer_reads_dimensions_on_three_lines_and_drops_broken_ones() -> None:
    thought = """<think>
        1. Semantic accuracy:
            Answer 1 (9/10) - "good";
            Answer 2 (7.5/10) - fine
        2. Clarity:
            Answer 1: 3/10, Answer 2: 4/10
        3. Half:
            Answer 1 (9/10)
        4. Off the scale:
            Answer 1 (11/10), Answer 2 (0/10)
        </think>"""
    found = think_answer()(thought + "<answer>Answer 1 is better</answer>")
    assert found.aspects == {
        "dimension/semantic accuracy": (9.0, 7.5),
        "dimension/clarity": (3.0, 4.0),
        "total": (12.0, 11.5),
    }
    assert think_answer()("<think>hm</think><answer>Answer 1 is better</answer>").aspects == {}


@pytest.mark.parametrize(
    ("reply", "wanted", "numbers"),
    [
        ("Edited Image 1: -0.53\nEdited Image 2: 2", SECOND, (-0.53, 2)),
        ("Edited image 2 : 1.5 and edited image 1 = 3", FIRST, (3, 1.5)),
        ("Image 1 score: −1, Image 2 score: −1", TIE, (-1, -1)),  # noqa: RUF001
        ("**Edited Image 1**: 0.5\n**Edited Image 2**: 0.4", FIRST, (0.5, 0.4)),
        ("Image 1: 1, Image 2: 5. After a second look, Image 1: 2, Image 2: 1", FIRST, (2, 1)),
        ("The scores are -1.25 and 0.5.", SECOND, (-1.25, 0.5)),
        ("1. Image 1 gets 3.0\n2. Image 2 gets 2.0", FIRST, (3, 2)),
        ("Edited image 1, edited image 2: 0.5, 0.25", FIRST, (0.5, 0.25)),
        ("3\n-2", FIRST, (3, -2)),
        ("I see 2 dogs and 3 cats.", "no_verdict", None),
        ("[2, 3]", SECOND, (2, 3)),
        ("Score 1.2", "no_verdict", None),
        ("1. The first is good.\n2. The second is bad.", "no_verdict", None),
        ("1 2 3", "no_verdict", None),
        ("Image 1: nan\nImage 2: 2", "nan", None),
        ("Image 1: 2\nImage 2: nan", "nan", None),
        ("Image 1: 2\nImage 2: " + "9" * 400, "range", None),
        ("Image 1: 1.2.3, Image 2: 4", "no_verdict", None),
    ],
)
def test_edit_pair_numbers(reply: str, wanted: tuple[float, ...] | str, numbers: tuple[float, ...] | None) -> None:
    found = edit_pair_numbers()(reply)
    expect(found, wanted)
    assert found.aspects.get("score") == numbers


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ('```json\n{"reasoning":"ok","score":[20, 15],}\n```', (20, 15)),
        ('{"reasoning": "says "hi" to us", "score" : [20, 15]}', (20, 15)),
        ('{"reasoning": "their output \\"score\\": [1, 2]", "score": [25.0, 0]}', (25, 0)),
        ('{\n"reasoning" : "...",\n"score" : [\n20,\n15,\n],\n}', (20, 15)),
        ("{'score': [20, 15]}", (20, 15)),
        ("output score = [20/25, 15/25]", (20, 15)),
        ('{"score": [20]}', "incomplete"),
        ('{"score": [20, 15, 10]}', "incomplete"),
        ('{"score": []}', "incomplete"),
        ('{"score": [26, 15]}', "range"),
        ('{"score": [-1, 15]}', "range"),
        ('{"score": [20/30, 15]}', "range"),
        ('{"score": [20, NaN]}', "nan"),
        ('{"score": [20, true]}', "incomplete"),
        ('{"score": ["20", "15"]}', "no_verdict"),
        ('{"score": 20}', "json"),
        ('{"reasoning": "cut', "json"),
        ("I'm sorry, I can't rate this.", "no_verdict"),
        ('{"final_score": [20, 15]}', "json"),
    ],
)
def test_edit_json(reply: str, wanted: tuple[float, float] | str) -> None:
    found = edit_json("success", "restraint")(reply)
    expect(found, wanted if isinstance(wanted, str) else (sum(wanted) / 50,))
    assert isinstance(wanted, str) or found.aspects == {"success": (wanted[0],), "restraint": (wanted[1],)}


FLEX = (
    '{"prompt":"p","categories":[{"name":"A. Semantic Alignment & Accuracy","dims":[{"name":"subject","reason_1":"x",'
    '"reason_2":"y","score_1":7,"score_2":3}],"cat_reason":"r","cat_winner":"Image 1"}],'
    '"reason":"r","winner":"Image 1",}'
)


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "Here you are:\n```json\n{}", "<think>hm</think>{}"])
def test_flex_json(wrap: str) -> None:
    found = flex_json()(wrap.replace("{}", FLEX))
    expect(found, FIRST)
    assert found.aspects == {"category/A": FIRST, "dimension/A/subject": (7.0, 3.0)}


@pytest.mark.parametrize(
    ("winner", "wanted"),
    [
        ("Image 2", SECOND),
        ("Video 2 (narrowly)", SECOND),
        ("2", SECOND),
        ("image1", FIRST),
        ("Image 1/2", "both"),
        ("Image 1 and Image 2", "both"),
        ("Tie", "no_verdict"),
        ("Image 12", "no_verdict"),
        ("", "no_verdict"),
    ],
)
def test_flex_winner_is_the_one_digit(winner: str, wanted: tuple[float, ...] | str) -> None:
    expect(flex_json()(FLEX.replace('"winner":"Image 1"', f'"winner":"{winner}"')), wanted)


def flex_category(name: str, *dims: tuple[str, object, object], winner: str = "Image 1") -> str:
    body = ",".join(
        f'{{"name": "{dim}", "reason_1": "r", "reason_2": "r", "score_1": {first}, "score_2": {second}}}'
        for dim, first, second in dims
    )
    return f'{{"name": "{name}", "dims": [{body}], "cat_reason": "r", "cat_winner": "{winner}"}}'


def test_flex_categories_go_by_letter_and_not_by_name() -> None:
    categories = ", ".join(
        [
            flex_category("B. Renamed", ("sharp, **very**", 5, 5), winner="Image 2"),
            flex_category("Semantics", ("subject", 10, 0)),
            flex_category("", ("odd", 6.5, 3.5), winner="Image 1/2"),
            flex_category("d: extra", ("x", 2, 8)),
        ]
    )
    found = flex_json()(f'{{"categories": [{categories}], "winner": "Image 2"}}')
    expect(found, SECOND)
    assert found.aspects == {
        "category/B": SECOND,
        "dimension/B/sharp, very": (5.0, 5.0),
        "category/A": FIRST,
        "dimension/A/subject": (10.0, 0.0),
        "dimension/C/odd": (6.5, 3.5),
        "category/D": FIRST,
        "dimension/D/x": (2.0, 8.0),
    }


def test_flex_drops_and_counts_dimensions_whose_scores_do_not_sum_to_10() -> None:
    dims = [("good", 6, 4), ("sum", 6, 6), ("range", 12, -2), ("text", '"7"', '"3"'), ("nan", "NaN", 3)]
    found = flex_json()(f'{{"categories": [{flex_category("A. x", *dims)}], "winner": "Image 1"}}')
    assert found.aspects == {"category/A": FIRST, "dimension/A/good": (6.0, 4.0), "dropped_dimensions": (4.0, 4.0)}


@pytest.mark.parametrize("end", range(0, len(FLEX) - 1, 7))
def test_flex_that_was_cut_off_has_no_winner_and_keeps_what_is_whole(end: int) -> None:
    cut = FLEX[:end]
    found = flex_json()(cut)
    if '"winner":"Image 1"' in cut:
        expect(found, FIRST)
        return
    assert found.scores is None
    assert ("category/A" in found.aspects) == ('"cat_winner":"Image 1"' in cut)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("Image 1 is better.", "no_verdict"),
        # The winner of a category whose key lost its prefix
        ('{"categories": [{"name": "A. x", "winner": "Image 1"}, {"name": "B. y"', "json"),
        ('{"reason": "they say \\"winner\\": \\"Image 1\\"', "json"),
        ('{"cat_winner": "Image 1", "score_1": 7, "score_2": 3', "json"),
        ('{"winner": "Image 1", "reason": "r"}', FIRST),
    ],
)
def test_flex_takes_no_other_key_for_the_winner(reply: str, wanted: tuple[float, ...] | str) -> None:
    expect(flex_json()(reply), wanted)
