// Models by any id, with Anthropic's SDK, and profiles of one's own, with the AWS SDK v3. Takes the step and its
// argument; prints what it saw as JSON.
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';
import {
  BedrockClient,
  CreateInferenceProfileCommand,
  DeleteInferenceProfileCommand,
  GetInferenceProfileCommand,
  ListTagsForResourceCommand,
  TagResourceCommand,
} from '@aws-sdk/client-bedrock';
import { BedrockRuntimeClient, ConverseCommand } from '@aws-sdk/client-bedrock-runtime';

const show = (value) => console.log(JSON.stringify(value));

const steps = {
  async messages(model) {
    const client = new AnthropicBedrock({ maxRetries: 0, awsRegion: process.env.AWS_REGION });
    try {
      const message = await client.messages.create({
        model,
        max_tokens: 64,
        messages: [{ role: 'user', content: 'Hello, world' }],
      });
      show({ text: message.content[0].text });
    } catch (error) {
      show({ error: error.constructor.name, status: error.status, message: error.message });
    }
  },
  async converse(modelId) {
    const messages = [{ role: 'user', content: [{ text: 'Hello, world' }] }];
    const reply = await new BedrockRuntimeClient({ maxAttempts: 1 }).send(new ConverseCommand({ modelId, messages }));
    show({ text: reply.output.message.content[0].text });
  },
  async life(copyFrom) {
    const bedrock = new BedrockClient({ maxAttempts: 1 });
    const made = await bedrock.send(
      new CreateInferenceProfileCommand({
        inferenceProfileName: 'made by node',
        modelSource: { copyFrom },
        tags: [{ key: 'team', value: 'one' }],
      }),
    );
    const resourceARN = made.inferenceProfileArn;
    await bedrock.send(new TagResourceCommand({ resourceARN, tags: [{ key: 'team', value: 'two' }] }));
    const { tags } = await bedrock.send(new ListTagsForResourceCommand({ resourceARN }));
    const which = { inferenceProfileIdentifier: resourceARN };
    const shown = await bedrock.send(new GetInferenceProfileCommand(which));
    await bedrock.send(new DeleteInferenceProfileCommand(which));
    let after = null;
    try {
      await bedrock.send(new GetInferenceProfileCommand(which));
    } catch (error) {
      after = error.name;
    }
    show({ status: made.status, tags, name: shown.inferenceProfileName, created: shown.createdAt, after });
  },
};
await steps[process.argv[2]](process.argv[3]);
