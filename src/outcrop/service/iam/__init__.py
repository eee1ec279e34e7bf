"""Who may do what: AWS's policies read, decided, and asked for every call. Knows no HTTP server and no store.

    patterns       texts with wildcards and `${variables}`, compiled once
    conditions     the condition operators, as a table
    policy         a policy's JSON becomes a `Policy`, or is refused with the place that is wrong
    decide         a request against the policies of every layer: allowed or not, and by which statement
    context        what a policy's conditions can look at
    requirements   which actions on which resources an operation asks for, as a table
    step           `Authoriser`: the step of the chain that asks
    texts          how AWS words a refusal
    presets        three policies by name

Everything below `requirements` is pure: texts and mappings in, values out. Sources: AWS's IAM User Guide
(elements, condition operators, evaluation logic, quotas), its Service Authorization Reference, and the
Bedrock User Guide's pages on cross-region inference.
"""
