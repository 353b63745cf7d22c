import { cpuUsage } from 'node:process';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { realRecords } from '../kubernetes/real.js';

// Stored bytes to JSON text, on one core, over a real API server's protobuf values: objects per second of
// CPU time. Kubernetes' own Go codec does about 33,000 on the machine this was first measured on.
const values = (await realRecords('plain.db.gz')).map(({ value }) => value).filter((value) => decodeStored(value).format === 'protobuf');
const rates = Array.from({ length: 5 }, () => {
  const start = cpuUsage();
  let objects = 0;
  for (let round = 0; round < 60; round++) for (const value of values) objects += decodeStored(value).json === undefined ? 0 : 1;
  const { user, system } = cpuUsage(start);
  return objects / ((user + system) / 1e6);
});
const [, , median = 0] = rates.sort((a, b) => a - b);
console.log(`kubernetes: stored bytes to JSON text, ${Math.round(median)} objects/s (median of ${rates.length}, ${values.length} values)`);
