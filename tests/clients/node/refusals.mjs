// @anthropic-ai/bedrock-sdk, refused: reads cases from stdin, prints what each looked like, as JSON.
import { readFileSync } from 'node:fs';

import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';

async function attempt({ keys, apiKey, model, body }) {
  const credentials = apiKey
    ? { apiKey }
    : { awsAccessKey: keys[0], awsSecretKey: keys[1], awsSessionToken: keys[2] || null };
  const client = new AnthropicBedrock({ ...credentials, awsRegion: 'us-west-2', maxRetries: 0 });
  try {
    await client.messages.create({ ...body, model });
    return null;
  } catch (error) {
    return {
      kind: error.constructor.name,
      status: error.status,
      name: error.headers?.get('x-amzn-errortype')?.split(':')[0],
      message: error.message,
    };
  }
}

const seen = {};
for (const one of JSON.parse(readFileSync(0, 'utf8'))) seen[one.title] = await attempt(one);
console.log(JSON.stringify(seen));
