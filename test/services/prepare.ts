import { locate, locateTool, mqttTools, named, serviceNames } from './install.ts';
import { output } from './process.ts';

/**
 * Installs what the tests need and the machine lacks, so that it happens before the tests and not within the time limit
 * of one. Silent when there is nothing to do; exits 1 after saying everything that is missing.
 */
for (const service of serviceNames) {
  if (named(service) === undefined) {
    await prepare(async () => {
      const place = await locate(service);
      if (place.kind === 'image') {
        await output('docker', ['pull', '--quiet', place.image]);
      }
    });
  }
}
// Where it exists, system calls are traced.
if (process.platform === 'linux') {
  await prepare(() => locateTool('strace'));
}
for (const tool of mqttTools) {
  await prepare(() => locateTool(tool));
}

async function prepare(step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
