"""An answer as it is made, with boto3's ConverseStream. Where and with which keys: the environment says it.

Run it with: outcrop exec -- python examples/stream.py
"""
# ruff: noqa: T201 - an example prints what it got

import boto3

bedrock = boto3.client(service_name="bedrock-runtime")
prompt = "Hello, world! Tell me a very short story about a stone, in two sentences."

response = bedrock.converse_stream(
    modelId="global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    messages=[{"role": "user", "content": [{"text": prompt}]}],
    inferenceConfig={"maxTokens": 128},
)

usage = {"inputTokens": 0, "outputTokens": 0}
for event in response["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"].get("text", ""), end="", flush=True)
    elif "metadata" in event:
        usage = event["metadata"]["usage"]

headers = response["ResponseMetadata"]["HTTPHeaders"]
print(f"\nengine: {headers.get('x-outcrop-engine', 'Amazon Bedrock')}", end=", ")
print("tokens: {inputTokens} in, {outputTokens} out".format(**usage))
