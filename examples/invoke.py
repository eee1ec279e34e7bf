"""The guide's "Hello, world" with boto3's InvokeModel. Where and with which keys: the environment says it.

Run it with: outcrop exec -- python examples/invoke.py
"""
# ruff: noqa: T201 - an example prints what it got

import json

import boto3

bedrock = boto3.client(service_name="bedrock-runtime")
body = json.dumps(
    {
        "max_tokens": 256,
        "messages": [{"role": "user", "content": "Hello, world"}],
        "anthropic_version": "bedrock-2023-05-31",
    }
)

response = bedrock.invoke_model(body=body, modelId="global.anthropic.claude-sonnet-4-5-20250929-v1:0")

response_body = json.loads(response.get("body").read())
print(response_body.get("content"))

headers = response["ResponseMetadata"]["HTTPHeaders"]
print(f"engine: {headers.get('x-outcrop-engine', 'Amazon Bedrock')}", end=", ")
print("tokens: {input_tokens} in, {output_tokens} out".format(**response_body["usage"]))
