import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdServer } from './etcd.js';
import { base64, v3 } from './v3-workload.js';

/** Changes a key of its own and compacts all before that, over and over, until it is disposed of; its key goes with it. */
export class Compactor implements AsyncDisposable {
  readonly #endpoint: string;
  readonly #loop: Promise<void>;
  #stopped = false;

  private constructor(endpoint: string, pause: number) {
    this.#endpoint = endpoint;
    this.#loop = this.#run(pause);
  }

  /** @param pause between two compactions, in milliseconds */
  static start({ endpoint }: EtcdServer, pause: number): Compactor {
    return new Compactor(endpoint, pause);
  }

  async #run(pause: number): Promise<void> {
    const key = base64('/compactor');
    while (!this.#stopped) {
      const { header } = (await v3(this.#endpoint, 'kv/put', { key, value: key })) as { header: { revision: string } };
      await v3(this.#endpoint, 'kv/compaction', { revision: header.revision });
      await sleep(pause);
    }
    await v3(this.#endpoint, 'kv/deleterange', { key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }
}
