import { connectV2 } from '../../src/cluster/v2.js';
import { quietRun } from '../../src/model/run.js';
import { openLiveV2 } from '../../src/readers/live-v2.js';

/** The v2 reader alone: takes every record of a tree and keeps none. */
const cluster = connectV2({ endpoints: [process.argv[2] as string], dialTimeout: 5_000, commandTimeout: 60_000 });
const source = await openLiveV2({ cluster }, quietRun());
for await (const _ of source.records());
await source.close();
await cluster.close();
