"""UnifiedReward, or any other judge, as a reward function of TRL.

    from trl import GRPOTrainer
    from trl_ext import UnifiedReward

    GRPOTrainer(model, reward_funcs=UnifiedReward(), train_dataset=dataset)

`UnifiedReward` scores every completion alone; `UnifiedGroupReward` compares the completions of one prompt with each
other and rewards each by its share of wins.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar, cast

from trl_ext.choices import POLICY_TASKS, announce, expect_support, judge_of, name_of, refuse
from trl_ext.columns import MEDIA_COLUMNS, Conversation, Row, rows_of
from trl_ext.reports import NOT_JUDGED, LogExtra, LogMetric, Outcome, report
from trl_ext.sharing import LastBatch
from unireward_plugins.errors import UniRewardError
from unireward_plugins.games import equals_draw
from unireward_plugins.rubrics import Readout, Rubric
from unireward_plugins.tournament import Game, round_robin, win_rates
from unireward_plugins.types import Case, Judge, Task, Verdict


class JudgeReward(ABC):
    """What both rewards are: a judge, a name in the logs, and the call that TRL makes."""

    arity: ClassVar[int]
    """How many completions the judge sees at a time."""

    def __init__(self, judge: Judge, *, name: str) -> None:
        expect_support(judge, POLICY_TASKS, self.arity)
        self.judge = LastBatch.of(judge)
        self.__name__ = name
        self._tasks: frozenset[Task] = frozenset()

    def __call__(
        self,
        prompts: Sequence[Conversation],
        completions: Sequence[Conversation],
        *,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: object,
    ) -> list[float | None]:
        """One reward per completion, `None` where there is no verdict; TRL makes this call, all by name.

        Raises `UniRewardError` where the rows cannot be judged, and `BackendError` where the judge cannot be reached.
        """
        rows = rows_of(prompts, completions, columns)
        judged = [row for row in rows if row is not None]
        self._look(judged, columns)
        judgements = iter(self.outcomes(judged))
        outcomes = [NOT_JUDGED if row is None else next(judgements) for row in rows]
        report(self.__name__, outcomes, log_extra, log_metric)
        return [outcome.reward for outcome in outcomes]

    @abstractmethod
    def outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        """What became of each completion."""

    def _look(self, rows: Sequence[Row], columns: Mapping[str, object]) -> None:
        """Say by which rubric each kind of row is judged when the first one comes; refuse what cannot be judged."""
        if not rows and not self._tasks and not columns.keys() & set(MEDIA_COLUMNS):
            raise UniRewardError(
                f"{self.__name__} judges answers about a picture or clip, and these prompts come with none: there is "
                f"no column {', '.join(map(repr, MEDIA_COLUMNS))} among {sorted(columns)}, and no message holds one. "
                "Rename the column that does, or use a reward for text"
            )
        for row in rows:
            if row.case.task not in self._tasks:
                expect_support(self.judge.judge, [row.case.task], self.arity)
                announce(self.__name__, self.judge.judge, row.case.task, self.arity)
                self._tasks |= {row.case.task}


class UnifiedReward(JudgeReward):
    """A reward that scores every completion alone, from 0 to 1: `reward_funcs=UnifiedReward()`.

    `judge`: what `load_judge` takes (a checkpoint, a server's URL, `"shapes"`, a plug-in's name) or any judge. Without
    it, the one that the environment variable `UNIREWARD_JUDGE` names, else `trl_ext.choices.DEFAULT_JUDGE`.
    `rubric`: `"auto"` asks by the rubric that the judge was trained on for what the rows hold; or a rubric or its name.
    `readout`: `"likelihood"` reads the probabilities at the rubric's answer slot, in place of a generated reply.
    `aspect`: reward one raw number of the rubric, on its own scale, in place of the score. Rewards that are given one
    judge object ask it once a step, whatever their aspects.
    `name`: what TRL's logs call it. Without it a name is made of the other arguments, so that rewards with different
    arguments have different names; TRL mixes up the logs of rewards with the same name.
    """

    arity = 1

    def __init__(
        self,
        judge: str | Path | Judge | None = None,
        *,
        rubric: str | Rubric = "auto",
        readout: Readout | None = None,
        aspect: str | None = None,
        name: str | None = None,
        **reward_inputs: object,
    ) -> None:
        refuse(type(self), reward_inputs)
        super().__init__(
            judge_of(judge, rubric, readout), name=name or name_of(type(self), judge, rubric, readout, aspect)
        )
        self.aspect = aspect

    def outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        """The score of each completion, or its chosen aspect."""
        return [self._outcome(verdict) for verdict in self.judge([row.case for row in rows])]

    def _outcome(self, verdict: Verdict) -> Outcome:
        aspects = {name: values[0] for name, values in verdict.aspects.items()}
        reward = verdict.scores[0] if verdict.scores is not None else None
        if self.aspect is not None:
            if verdict.scores is not None and self.aspect not in aspects:
                raise UniRewardError(f"{self.__name__}: the judge gives no {self.aspect!r}, only {sorted(aspects)}")
            reward = aspects.get(self.aspect)
        unread = "" if reward is not None else verdict.unread or ""
        return Outcome(reward, verdict.reply, unread, aspects, missed=float(reward is None))


class UnifiedGroupReward(JudgeReward):
    """A reward that compares the completions of one prompt, and gives each its share of wins, from 0 to 1.

    Every two completions of a prompt meet once, and the games of all prompts go to the judge in one call. A game that
    the judge left open counts for nobody; a completion without a game that was read gets `None`. Two equal answers draw
    without being asked about. Win rates among the completions of a prompt as a reward: Pref-GRPO (arXiv 2508.20751).

    Completions belong together where the prompts' text and pictures are equal, wherever they stand in the call. TRL
    calls once per process: keep the completions of a prompt in one process (`per_device_train_batch_size *
    steps_per_generation` a multiple of `num_generations`), or each part of a group is ranked by itself.

    The arguments are those of `UnifiedReward`, for a judge that compares two answers. To ask each game in both orders,
    pass `load_judge(..., both_orders=True)`.
    """

    arity = 2

    def __init__(
        self,
        judge: str | Path | Judge | None = None,
        *,
        rubric: str | Rubric = "auto",
        readout: Readout | None = None,
        name: str | None = None,
        **reward_inputs: object,
    ) -> None:
        refuse(type(self), reward_inputs)
        super().__init__(judge_of(judge, rubric, readout), name=name or name_of(type(self), judge, rubric, readout))

    def outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        """The share of wins of each completion among those of its prompt."""
        pairings = [(group[i], group[j]) for group in groups_of(rows) for i, j in round_robin(len(group))]
        verdicts = equals_draw(self.judge)([versus(rows[i].case, rows[j].case) for i, j in pairings])
        games: list[Game] = []
        played: list[list[Verdict]] = [[] for _ in rows]
        for (i, j), verdict in zip(pairings, verdicts, strict=True):
            games.append((i, j, None if verdict.scores is None else verdict.scores[0]))
            played[i].append(verdict)
            played[j].append(verdict.reversed())
        return [standing(rate, own) for rate, own in zip(win_rates(len(rows), games), played, strict=True)]


def groups_of(rows: Sequence[Row]) -> list[list[int]]:
    """The indices of each prompt's completions; `UniRewardError` where a completion stands alone."""
    groups: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.prompt, []).append(index)
    alone = sum(len(group) == 1 for group in groups.values())
    if alone:
        raise UniRewardError(
            f"{alone} of {len(rows)} completions have no other completion of the same prompt to be compared with. "
            "Generate two or more for each prompt (num_generations, num_generations_eval) and keep them in one "
            "process: per_device_train_batch_size * steps_per_generation must be a multiple of num_generations"
        )
    return list(groups.values())


def versus(first: Case, second: Case) -> Case:
    """The case in which the answers of two cases of one prompt meet."""
    return Case(first.prompt, first.candidates + second.candidates, first.context)


def standing(rate: float | None, games: Sequence[Verdict]) -> Outcome:
    """What became of a completion, from its games, in each of which it is the first candidate."""
    unread = [game.unread for game in games if game.unread is not None]
    reply = "\n\n".join(f"[{'unread' if game.scores is None else game.scores[0]}] {game.reply}" for game in games)
    return Outcome(rate, reply, unread[0] if rate is None else "", missed=len(unread) / len(games))


Reward = TypeVar("Reward", UnifiedReward, UnifiedGroupReward)


def from_environment(reward: type[Reward]) -> Reward:
    """A reward for the command line, which can name a reward but not give it arguments."""
    return reward(
        rubric=os.environ.get("UNIREWARD_RUBRIC") or "auto",
        readout=cast("Readout | None", os.environ.get("UNIREWARD_READOUT") or None),
    )
