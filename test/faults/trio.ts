import { type EtcdBinaries, EtcdServer, freePort } from '../support/etcd.js';
import type { Random } from './mutate.js';

export interface Member {
  readonly server: EtcdServer;
  readonly restart: () => Promise<EtcdServer>;
}

/** Three members on loopback. */
export class Trio implements AsyncDisposable {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  static async start(etcd: EtcdBinaries): Promise<Trio> {
    const peers = await Promise.all([1, 2, 3].map(async (n) => ({ name: `m${n}`, url: `http://127.0.0.1:${await freePort()}` })));
    const cluster = peers.map(({ name, url }) => `${name}=${url}`).join();
    const members = peers.map(async ({ name, url }): Promise<Member> => {
      const timing = ['--heartbeat-interval', '50', '--election-timeout', '500'];
      const args = [
        '--name',
        name,
        '--initial-cluster',
        cluster,
        '--listen-peer-urls',
        url,
        '--initial-advertise-peer-urls',
        url,
        ...timing,
      ];
      const server = await EtcdServer.start(etcd, { args });
      return { server, restart: () => EtcdServer.start(etcd, { args, dataDir: server.dataDir, clientPort: server.port }) };
    });
    return new Trio(await Promise.all(members));
  }

  get endpoints(): string {
    return this.members.map(({ server }) => server.endpoint).join();
  }

  async leader(): Promise<Member> {
    const [first] = this.members as [Member];
    // Not by `etcdctl()`, which names the first member's endpoint: it would be told of twice.
    const out = await first.server.run('etcdctl', ['--endpoints', this.endpoints, 'endpoint', 'status', '-w', 'json'], {
      ETCDCTL_API: '3',
    });
    const statuses = JSON.parse(out) as { Status: { header: { member_id: number }; leader: number } }[];
    const at = statuses.findIndex(({ Status }) => Status.header.member_id === Status.leader);
    const leader = this.members[at];
    if (leader === undefined) throw new Error(`no leader: ${out}`);
    return leader;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ server }) => server.stop()));
  }
}

/** The leader is killed, or stands still until its part is over. */
export function lose(leader: Member, random: Random): { readonly how: string; readonly act: () => void } {
  if (random(2) === 0) return { how: 'killed', act: () => void leader.server.kill('SIGKILL') };
  return {
    how: 'still for 3 s',
    act: () => {
      leader.server.process.kill('SIGSTOP');
      setTimeout(() => leader.server.process.kill('SIGCONT'), 3_000);
    },
  };
}
