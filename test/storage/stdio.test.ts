import { PassThrough, Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { streamSink } from '../../src/storage/stdio.js';

describe('a stream as a sink', () => {
  test('takes every byte, waits when the stream is full, and leaves it open', async () => {
    const taken: Buffer[] = [];
    let inFlight = 0;
    const stream = new Writable({
      highWaterMark: 1000,
      write(chunk: Buffer, _encoding, done) {
        inFlight += chunk.length;
        setTimeout(() => {
          inFlight -= chunk.length;
          taken.push(chunk);
          done();
        }, 1);
      },
    });
    const sink = streamSink(stream);
    for (let i = 0; i < 20; i++) {
      await sink.write(Buffer.alloc(600, i));
      expect(inFlight + stream.writableLength).toBeLessThan(2400);
    }
    await sink.finish();
    await sink.abort();
    expect(Buffer.concat(taken).length).toBe(12_000);
    expect(stream.writableEnded).toBe(false);
  });

  test('whose reader goes away fails, the one waiting and all after', async () => {
    const stream = new PassThrough({ highWaterMark: 10 });
    const sink = streamSink(stream);
    const waiting = sink.write(Buffer.alloc(2 << 20));
    stream.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await expect(waiting).rejects.toMatchObject({ code: 'failed', message: 'writing -: its reader has gone away' });
    await expect(sink.write(Buffer.alloc(1))).rejects.toMatchObject({ code: 'failed' });
    await expect(sink.finish()).rejects.toMatchObject({ code: 'failed' });
    await sink.abort();
  });

  test('gets nothing of what is given up before much was written', async () => {
    const chunks: Buffer[] = [];
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
    });
    const given = streamSink(stream);
    await given.write(Buffer.alloc(1000));
    await given.abort();
    expect(chunks).toEqual([]);
    const finished = streamSink(stream);
    await finished.write(Buffer.from('all'));
    await finished.write(Buffer.from(' of it'));
    await finished.finish();
    expect(Buffer.concat(chunks).toString()).toBe('all of it');
  });

  test('that is closed while it is finished fails', async () => {
    const stream = new Writable({ write() {} });
    const sink = streamSink(stream);
    await sink.write(Buffer.alloc(1));
    const finished = sink.finish();
    stream.destroy();
    await expect(finished).rejects.toMatchObject({ code: 'failed' });
  });
});
