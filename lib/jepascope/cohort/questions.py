"""What each label asks: within how many days, by which clock, of whom, and in which words."""

from __future__ import annotations

from typing import NamedTuple

from jepascope import params

ELIGIBLE = "eligible discharges"
CAN_RISE = "eligible, below intensive care"
PSYCHIATRIC = "eligible, an F code so far"
LEFT_ALIVE = "left alive, hospice included"
RETURN = ("days_to_next",)
DEATH = ("days_to_death",)


class Question(NamedTuple):
    """One question, put at the end of each encounter; `sql/labels.sql` answers it."""

    name: str
    horizon: int | str  # days from the end of the episode; a str names the parameter of `extraction` that holds them
    clocks: tuple[str, ...]  # the sooner of these columns is the day of the event of a yes
    asks: str  # in words; d counts days after the end of the episode
    of: str  # "eligible" is spelled out in the chapter
    short: str
    after_return: int | None = None  # days from the return until the answer is known; None: the horizon decides

    @property
    def column(self) -> str:
        """The label's column in the table of encounters."""
        return f"label_{self.name}_per_enc"

    def days(self, extraction: params.Extraction) -> int:
        """The horizon in days."""
        return self.horizon if isinstance(self.horizon, int) else int(getattr(extraction, self.horizon))


QUESTIONS = (
    Question("30d", 30, RETURN, "unplanned readmission, 30 days", ELIGIBLE, "readmission, 30 days", after_return=0),
    Question(
        "30d_or_death", 30, (*RETURN, *DEATH), "unplanned readmission or death, 30 days", ELIGIBLE,
        "readmission or death, 30 days",
    ),
    Question(
        "escalation", "escalation_days", RETURN, "next episode more acute, 90 days (by default)", CAN_RISE,
        "escalation, 90 days",
    ),
    Question("escalation_30d", 30, RETURN, "next episode more acute, 30 days", CAN_RISE, "escalation, 30 days"),
    Question("escalation_180d", 180, RETURN, "next episode more acute, 180 days", CAN_RISE, "escalation, 180 days"),
    Question(
        "psych_crisis", "crisis_days", RETURN, "psychiatric crisis, 180 days (by default), psychiatric subset",
        PSYCHIATRIC, "psychiatric crisis, 180 days",
    ),
    Question(
        "psych_crisis_28d", 28, RETURN, "psychiatric crisis, 28 days, psychiatric subset", PSYCHIATRIC,
        "psychiatric crisis, 28 days",
    ),
    Question("death_30d", 30, DEATH, "death, 30 days", LEFT_ALIVE, "death, 30 days"),
    Question("death_365d", 365, DEATH, "death, 365 days", LEFT_ALIVE, "death, 365 days"),
    Question(
        "long_stay", 365, RETURN, "next episode, if within a year, over 7 days long", "eligible, back within a year",
        "long next stay", after_return=8,
    ),
)  # fmt: skip
LABELS = tuple(question.column for question in QUESTIONS)
OF_COLUMN = {question.column: question for question in QUESTIONS}
OF_NAME = {question.name: question for question in QUESTIONS}
