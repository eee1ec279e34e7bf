"""Policies and principals for tests, and a state that holds them."""

import json

import msgspec

from outcrop.catalog import Catalog
from outcrop.service.call import Principal
from outcrop.service.iam.decide import Layers, NamedPolicy, Request, decide
from outcrop.service.iam.policy import parse
from outcrop.service.principals import User
from outcrop.service.targets import Targets
from service.calls import ACCOUNT, call
from service.memory import MemoryStore

CATALOG = Catalog.load("guide")
USER = User(ACCOUNT, "dev", "AIDAEXAMPLE", 0)


def text(*statements, version="2012-10-17"):
    return json.dumps({"Version": version, "Statement": list(statements)})


def allow(action="*", resource="*", **elements):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **elements}


def deny(action="*", resource="*", **elements):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **elements}


def named(*statements, name="p", version="2012-10-17"):
    return (NamedPolicy(name, parse(text(*statements, version=version))),)


def ask(statements, action="bedrock:InvokeModel", resource="arn:aws:bedrock:us-east-1::x", context=None):
    """What one identity policy with these statements says of a request."""
    layers = Layers(named(*statements))
    return decide(layers, Request.of(action, resource, context or {}))


def holds(condition, context, version="2012-10-17"):
    """Whether a Condition element is fulfilled."""
    layers = Layers(named(allow(Condition=condition), version=version))
    return decide(layers, Request.of("a:B", "*", context)).allowed


def state_of(*records):
    store = MemoryStore()

    def work(state):
        for record in records:
            state.put(record)

    store.change(work)
    return store.snapshot()


def model_call(operation, model, region="us-east-1", *, records=None, token="", principal=None, agent=""):
    """A call of a model as the step gets it, of a user with the records' policies."""
    asked = call(operation, region=region, state=state_of(*(records or (USER,))), modelId=model)
    headers = {"authorization": f"Bearer {token}"} if token else {"authorization": "AWS4-HMAC-SHA256 x"}
    if agent:
        headers["user-agent"] = agent
    asked = msgspec.structs.replace(
        asked,
        head=msgspec.structs.replace(asked.head, headers=headers),
        principal=principal or Principal(USER.arn, USER.user_id, ACCOUNT, "AKIAEXAMPLE", USER.arn),
    )
    return msgspec.structs.replace(asked, target=Targets(CATALOG).target(asked))
