"""Quotas as Bedrock counts them: taken at the start of a call, settled at its end.

arithmetic   what a call reserves, and what it is charged
estimate     how many input tokens a request has, before anybody has counted them
limits       which limits hold for a bucket: the catalogue's defaults, and what was set instead
step         the asking step that reserves, asks on and settles; and the words of a refusal
"""
