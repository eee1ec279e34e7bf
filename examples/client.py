"""The guide's "Hello, world" with Outcrop's own client. Where and with which keys: the environment says it.

Run it with: outcrop exec -- python examples/client.py
"""
# ruff: noqa: T201 - an example prints what it got

from outcrop import AnthropicBedrock

client = AnthropicBedrock(aws_region="us-west-2")

# with_raw_response only to see the reply's headers too; client.messages.create(...) gives the message itself
reply = client.messages.with_raw_response.create(
    model="claude-sonnet-4-5",
    max_tokens=256,
    messages=[{"role": "user", "content": "Hello, world"}],
)
message = reply.parse()
print(message.content)

print(f"engine: {reply.headers.get('x-outcrop-engine', 'Amazon Bedrock')}", end=", ")
print(f"tokens: {message.usage.input_tokens} in, {message.usage.output_tokens} out")
print("On Amazon Bedrock it costs", message.cost)
