import { Session } from 'node:inspector/promises';

/** V8's precise block coverage of `src/`. */
export class BlockCoverage implements Disposable {
  readonly #session = new Session();

  static async start(): Promise<BlockCoverage> {
    const coverage = new BlockCoverage();
    coverage.#session.connect();
    await coverage.#session.post('Profiler.enable');
    await coverage.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    return coverage;
  }

  /** The blocks of code that ran since the last call. */
  async take(): Promise<Set<string>> {
    const blocks = new Set<string>();
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    for (const { url, functions } of result) {
      if (!url.includes('/src/') || url.includes('/node_modules/')) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) if (count > 0) blocks.add(`${url}:${startOffset}:${endOffset}`);
      }
    }
    return blocks;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
