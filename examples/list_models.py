"""The guide's list of Claude models with boto3. Where and with which keys: the environment says it.

Run it with: outcrop exec -- python examples/list_models.py
"""
# ruff: noqa: T201 - an example prints what it got

import boto3

bedrock = boto3.client(service_name="bedrock")
response = bedrock.list_foundation_models(byProvider="anthropic")

for summary in response["modelSummaries"]:
    print(summary["modelId"])
