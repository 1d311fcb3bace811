// Tests and benchmarks run the TypeScript as it is: importing this file first teaches Node, and mocha, to read it.
//
// The loader would keep what it has translated in a folder of everybody's, $TMPDIR/tsx-UID, and run what it finds there without a look at whose
// it is: whoever makes that folder first could have code of his own run as somebody else. So it keeps nothing, unless the folder is ours alone
// (test/run.ts).
process.env.TSX_DISABLE_CACHE ??= '1';
await import('tsx');
// `npm test` has just built all of it: threads and programs that are started from here run that (core/thread.ts).
if (process.env.LOAM_TEST_BUILT === '1') globalThis.loamIsBuilt = true;
