"""Bytes <-> values: no sockets, clocks or files. Client and server both stand on it.

http, operations            a request and a reply as values; which operation a path means
sigv4, bearer               who signed: signatures, API keys
json_body                   a body's JSON, read once and bounded
constraints                 how AWS words a member that breaks its service model
messages                    InvokeModel's request, first its keys and types
messages_rules              then what it means to the model: rules, and under them
messages_turns, _blocks     messages among each other, blocks by themselves
messages_reply              the answer, whole and as events
converse                    Converse as Messages and back: the whole request, the whole reply
converse_shapes, _rules     first what the service model says, then what Converse says
converse_stream             the reply as events
converse_upstream           the other direction, for engines that speak Converse
converse_citations          citations, both ways
json_pointer                the pointers with which Converse picks from a reply
sse, eventstream            streams: SSE, AWS's binary frames
frames, chunks              what Bedrock puts into those, written and read
profiles                    what the operations on application profiles and tags take
faults, sts                 errors as replies; the sliver of STS, in XML
"""
