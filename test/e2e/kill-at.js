import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

// Loaded into a `loam` process: kills it right before, or right after, it changes what an earlier version left. Such
// moments are counted, two a change; LOAM_TEST_KILL_AT is the one at which it dies.

const at = Number(process.env.LOAM_TEST_KILL_AT);
const isConcerned = (path) => /segments\.new-|lmdb-kept|data\.mdb|\/segments$/.test(String(path));
let moments = 0;

function pass() {
  if (moments++ === at) process.kill(process.pid, 'SIGKILL');
}

// Not in the processes that it starts.
if (process.argv[1]?.endsWith('cli/bin.js')) {
  for (const name of ['mkdir', 'rename', 'rm', 'writeFile']) {
    const real = fs[name];
    fs[name] = async (...args) => {
      if (!isConcerned(args[0])) return await real(...args);
      pass();
      const result = await real(...args);
      pass();
      return result;
    };
  }
  syncBuiltinESMExports();
}
