import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import pino from 'pino';
import { editRegistryFile, RegistryFile } from '../../backbone/registry-file.ts';
import { RegistryInvalid } from '../../core/errors.ts';
import { pause } from '../../core/lifecycle.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import { addSensor, putUser, removeSensor, removeUser, setPassword } from '../../telemetry/registry-edit.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const TEXT = `# our farm
farms:
  - { id: north, name: North, timezone: Europe/Berlin } # the old one
sensors: []
`;

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('the registry file', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    await writeFile(path, TEXT);
  });

  const add = (id: string) => (text: string) => addSensor(text, { id, farm: 'north', secret: hashSecret(id) });

  it('keeps comments when a sensor is added and removed', async () => {
    await editRegistryFile(path, add('s1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# our farm')
      .and.to.contain('# the old one')
      .and.to.contain('id: s1');
    await editRegistryFile(path, (text) => removeSensor(text, 's1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# the old one')
      .and.not.to.contain('s1');
  });

  it('is as it was after an edit that would break it', async () => {
    const error = await rejection(editRegistryFile(path, (text) => addSensor(text, { id: 's1', farm: 'nowhere' })));
    expect(error).to.be.instanceOf(RegistryInvalid);
    expect(await readFile(path, 'utf8')).to.equal(TEXT);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('loses no edit of twenty editors at once', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => editRegistryFile(path, add(`s${i}`))));
    const file = await RegistryFile.open(path, silent);
    file.close();
    expect(file.current().sensors.size).to.equal(20);
  });

  it('tells its watchers of a change that somebody else wrote', async () => {
    const file = await RegistryFile.open(path, silent);
    try {
      let told = 0;
      file.watch((registry) => {
        told = registry.sensors.size;
      });
      await editRegistryFile(path, add('s1'));
      await until('the watcher is told', () => told === 1);
      expect(file.current().sensors.has('s1')).to.equal(true);
    } finally {
      file.close();
    }
  });

  it('does not take half of a text that somebody is still writing', async () => {
    await editRegistryFile(path, add('s1'));
    await editRegistryFile(path, add('s2'));
    const whole = await readFile(path, 'utf8');
    const half = whole.slice(0, whole.lastIndexOf('  - '));
    const file = await RegistryFile.open(path, silent);
    const told: number[] = [];
    file.watch((registry) => told.push(registry.sensors.size));
    try {
      // Each for half a second: some polls, one a second, see one of them, and none sees the same again.
      for (let i = 0; i < 5; i++) {
        await writeFile(path, `${half}# ${i}\n`);
        await pause(500);
        await writeFile(path, whole);
        await pause(800);
      }
      expect(told).to.deep.equal([]);
      await writeFile(path, half);
      await until('what stays is taken', () => told.at(-1) === 1);
    } finally {
      file.close();
    }
  });

  it('stays in force when a bad edit is saved over it, says once why, and takes up the next good one', async () => {
    const lines: string[] = [];
    const sink = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) });
    const file = await RegistryFile.open(path, pino(sink));
    const complaints = () => lines.filter((line) => line.includes('stays in force'));
    try {
      await writeFile(path, `${TEXT}users: nonsense\n`);
      await until('the bad edit is refused', () => complaints().length > 0);
      expect(complaints()[0]).to.contain('registry.yaml:5');
      expect(file.current().farms.get('north')?.name).to.equal('North');
      await writeFile(path, TEXT.replace('North', 'Northern'));
      await until('the good edit is taken up', () => file.current().farms.get('north')?.name === 'Northern');
      expect(complaints()).to.have.length(1);
    } finally {
      file.close();
    }
  });

  it('refuses a second sensor of the same id and the removal of one that is not there', async () => {
    await editRegistryFile(path, add('s1'));
    expect(await rejection(editRegistryFile(path, add('s1')))).to.be.instanceOf(RegistryInvalid);
    expect(() => removeSensor(TEXT, 's9')).to.throw(RegistryInvalid);
    expect(() => removeUser(TEXT, 'anna')).to.throw(RegistryInvalid);
    expect(() => setPassword(TEXT, 'anna', 'x')).to.throw(RegistryInvalid);
  });

  it('puts a user there, and puts another role in its place', () => {
    const once = putUser(TEXT, { name: 'anna', farms: { north: 'viewer' } });
    const twice = putUser(once, { name: 'anna', farms: { north: 'admin' } });
    expect(twice.match(/anna/g)).to.have.length(1);
    expect(twice).to.contain('admin').and.not.to.contain('viewer');
  });
});
