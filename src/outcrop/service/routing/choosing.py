"""In which order the candidates for a call are tried. Knows their health; asks none of them.

First one whose time out is over (it gets one trial; where that fails the call falls over), then the well,
then the full, then those that are out: nothing is refused while an allowed destination might answer. Among
equals the cheapest comes first by `Health.cost`: latency times running calls, by the room that is left. All
are compared, not two at random as Peak EWMA usually does: that is for fleets too large to look at, and here
are a handful. Ties are broken by chance, so that an idle fleet shares its work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from outcrop.engine import Question
from outcrop.engine.lacks import asks_for
from outcrop.service.routing.health import Health
from outcrop.service.routing.places import Destination


def able(candidates: Sequence[Destination], question: Question) -> Sequence[Destination]:
    """Those that declare no lack of what is asked for; all of them when every one does.

    Then one of them is asked, and refuses with AWS's words.
    """
    if not any(candidate.place.engine.cannot for candidate in candidates):
        return candidates
    wanted = asks_for(question.body)
    return [one for one in candidates if wanted.isdisjoint(one.place.engine.cannot)] or candidates


def ordered(
    candidates: Sequence[Destination],
    health: Mapping[str, Health],
    question: Question,
    now: float,
    randomness: Callable[[], float],
) -> list[Destination]:
    """The candidates in the order in which they are tried. `health` is by the place's name."""
    model, stream = question.model.id, question.stream

    def merit(candidate: Destination) -> tuple[int, float, float]:
        fares = health[candidate.place.name]
        return fares.standing(model, now), fares.cost(stream, now), randomness()

    return sorted(candidates, key=merit)
