// As core/typescript.js, with what mocha needs beside: on Node 20 some of its own files are read by `require`.
process.env.TSX_DISABLE_CACHE = '1';
await import('tsx');
