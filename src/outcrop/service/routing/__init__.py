"""Where a call runs: which regions it may use, which engines stand there, and which of them is asked.

    residency   the target's destinations, narrowed by what endpoint, account and caller are bound to
    places      an engine with the regions and models it serves; a fleet of them; the candidates for a call
    health      how one place fares: sick or well, full or free, how fast
    choosing    candidates in the order in which they are tried
    dispatch    asks them, falls over before the first event, and tells health what came of it

`residency` says what is allowed and knows no engine; `dispatch` asks only what `places` finds within it. So
what lies outside a call's regions is never contacted, whatever the rest decides.
"""
