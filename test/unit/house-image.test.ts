import { expect } from 'chai';
import { z } from 'zod';
import { projectFile } from './house-table.ts';

describe('Dockerfile', () => {
  it('builds on the promised image and runs the command as nobody special', async () => {
    const text = await projectFile('Dockerfile');
    expect([...text.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image)).to.deep.equal([
      'node:24-trixie-slim',
      'node:24-trixie-slim',
    ]);
    expect(text).to.match(/^USER node$/m);
    expect(text).to.match(/^ENTRYPOINT \["node", "--max-semi-space-size=64", "cli\/bin\.js"\]$/m);
    expect(text).to.match(/^RUN npm ci --omit=dev/m);
  });

  it('copies what the package is made of', async () => {
    const text = await projectFile('Dockerfile');
    const copied = [...text.matchAll(/^COPY --from=build \/app\/(\S+) /gm)].map(([, path]) => path);
    const { files } = z.object({ files: z.array(z.string()) }).parse(JSON.parse(await projectFile('package.json')));
    expect(copied).to.include.members(files);
  });

  it('leaves secrets and data out of the image', async () => {
    const ignored = (await projectFile('.dockerignore')).split('\n');
    expect(ignored).to.include.members(['.env', '.git', 'data', 'config', 'secrets', '**/node_modules']);
  });
});
