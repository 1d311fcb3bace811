// Loam is written in TypeScript and run as it is: importing this file first teaches Node to read it.
//
// The loader would keep what it has translated in a folder of everybody's, $TMPDIR/tsx-UID, and run what it finds there without a look at whose
// it is: whoever makes that folder first could have code of his own run as Loam's user. So it keeps nothing; a start takes some 0.3 s more.
process.env.TSX_DISABLE_CACHE = '1';
const { register } = await import('tsx/esm/api');

register();
