// The AWS SDK for JavaScript v3; its runtime client speaks cleartext HTTP/2. Prints what it saw as JSON.
import { BedrockClient, ListFoundationModelsCommand } from '@aws-sdk/client-bedrock';
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';

const runtime = new BedrockRuntimeClient({ maxAttempts: 1 });
const modelId = 'global.anthropic.claude-sonnet-4-5-20250929-v1:0';
const messages = [{ role: 'user', content: [{ text: 'Hello, world' }] }];
const body = JSON.stringify({
  anthropic_version: 'bedrock-2023-05-31',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Hello, world' }],
});
const show = (value) => console.log(JSON.stringify(value));
const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

async function attempt(run) {
  try {
    return { error: null, value: await run() };
  } catch (error) {
    return { error: error.name, message: error.message, status: error.$metadata?.httpStatusCode ?? null };
  }
}

const steps = {
  async identity() {
    show(await new STSClient({}).send(new GetCallerIdentityCommand({})));
  },
  async models() {
    const { modelSummaries } = await new BedrockClient({}).send(
      new ListFoundationModelsCommand({ byProvider: 'anthropic' }),
    );
    show(modelSummaries.map((summary) => summary.modelId));
  },
  async invoke() {
    const reply = await runtime.send(new InvokeModelCommand({ modelId, body }));
    show({ text: json(reply.body).content[0].text, contentType: reply.contentType });
  },
  async invokeStream() {
    const reply = await runtime.send(new InvokeModelWithResponseStreamCommand({ modelId, body }));
    const types = [];
    for await (const event of reply.body) types.push(json(event.chunk.bytes).type);
    show(types);
  },
  async converse() {
    const reply = await runtime.send(new ConverseCommand({ modelId, messages }));
    show({ content: reply.output.message.content, stop: reply.stopReason, usage: reply.usage });
  },
  async converseStream() {
    const reply = await runtime.send(new ConverseStreamCommand({ modelId, messages }));
    const names = [];
    for await (const event of reply.stream) names.push(Object.keys(event)[0]);
    show(names);
  },
  async count() {
    const id = modelId.replace('global.', '');
    show(await runtime.send(new CountTokensCommand({ modelId: id, input: { converse: { messages } } })));
  },
  async error() {
    show(await attempt(() => runtime.send(new ConverseCommand({ modelId, messages }))));
  },
  async broken() {
    show(
      await attempt(async () => {
        const reply = await runtime.send(new ConverseStreamCommand({ modelId, messages }));
        for await (const _ of reply.stream);
      }),
    );
  },
  async abort() {
    const leave = new AbortController();
    const left = await runtime.send(new ConverseStreamCommand({ modelId, messages }), { abortSignal: leave.signal });
    for await (const _ of left.stream) leave.abort();
    // the connection stays open: only the stream was reset
    const reply = await runtime.send(new ConverseCommand({ modelId, messages }));
    show(reply.output.message.content[0].text);
  },
  async concurrent() {
    const replies = await Promise.all(
      Array.from({ length: 16 }, () => runtime.send(new ConverseCommand({ modelId, messages }))),
    );
    show(replies.map((reply) => reply.output.message.content[0].text));
  },
};
await steps[process.argv[2]]();
