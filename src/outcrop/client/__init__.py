"""What applications import: the client. Decisions are made once, in `call`; `sync` and `aio` only carry them.

settings, profiles  arguments, environment and AWS's files become one set of settings
credentials         who signs: the chain of sources, the slow ones through botocore
placing             a model's name and a wish become an id, a region and what may run where
call                one request as a conversation: attempts, waits, fallbacks, and what a reply means
requests, replies   operations as bytes; replies and frames as values or errors
snapshot            a stream's events, added up
errors              what is raised, by the names that users of `anthropic` know
sync, aio           the two drivers, and the classes applications use
"""
