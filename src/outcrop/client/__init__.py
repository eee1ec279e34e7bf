"""What applications import: the client. Decisions are made once, in `call`; `sync` and `aio` only carry them.

settings, profiles  arguments, environment and AWS's files become one set of settings
credentials         who signs: the chain of sources, the slow ones through botocore
placing             a model's name and a wish become an id, a region and what may run where
call                one request as a conversation: attempts, waits, fallbacks, and what a reply means
operations          what a client can be asked, each a conversation
requests, replies   operations as bytes; replies as values or errors
streams, snapshot   frames as events; a stream's events, added up
core                what both clients share: settings, resolved
value, responses    results as immutable values; a reply beside its result
errors              what is raised, by the names that users of `anthropic` know
timeouts, params    how long to wait; what a call takes, for type checkers
sync, aio           the two drivers, and the classes applications use
"""
