// @anthropic-ai/bedrock-sdk, told of the endpoint by the environment only. Prints what it saw as JSON.
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';

const client = new AnthropicBedrock({ maxRetries: 0, awsRegion: process.env.AWS_REGION });
const hello = {
  model: 'global.anthropic.claude-sonnet-4-5-20250929-v1:0',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Hello, world' }],
};
const show = (value) => console.log(JSON.stringify(value));

const steps = {
  async create() {
    const message = await client.messages.create(hello);
    show({ text: message.content[0].text, usage: message.usage, stop: message.stop_reason });
  },
  async stream() {
    const types = [];
    let text = '';
    for await (const event of await client.messages.create({ ...hello, stream: true })) {
      types.push(event.type);
      if (event.type === 'content_block_delta') text += event.delta.text;
    }
    show({ types, text });
  },
  async error() {
    try {
      await client.messages.create(hello);
      show({ error: null });
    } catch (error) {
      show({ error: error.constructor.name, status: error.status, message: error.message });
    }
  },
  async broken() {
    const types = [];
    try {
      for await (const event of await client.messages.create({ ...hello, stream: true })) types.push(event.type);
      show({ types, error: null });
    } catch (error) {
      show({ types, error: error.constructor.name, type: error.type ?? null, message: error.message });
    }
  },
};
await steps[process.argv[2]]();
