// The guide's "Hello, world" with @anthropic-ai/bedrock-sdk. Where and with which keys: the environment says it.
//
// Run it, in this folder, with: npm ci && outcrop exec -- node hello.mjs
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';

const client = new AnthropicBedrock({
  awsRegion: 'us-west-2',
});

async function main() {
  // withResponse() only to see the reply's headers too; without it, the message comes by itself
  const { data: message, response } = await client.messages
    .create({
      model: 'global.anthropic.claude-sonnet-4-5-20250929-v1:0',
      max_tokens: 256,
      messages: [{ role: 'user', content: 'Hello, world' }],
    })
    .withResponse();
  console.log(message.content);

  const engine = response.headers.get('x-outcrop-engine') ?? 'Amazon Bedrock';
  console.log(`engine: ${engine}, tokens: ${message.usage.input_tokens} in, ${message.usage.output_tokens} out`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
