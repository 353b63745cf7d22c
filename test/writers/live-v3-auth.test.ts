import { describe, expect, it } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import type { AuthData, Permission } from '../../src/model/auth.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { etcdVersions } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv } from '../support/source.js';

const permission = (type: Permission['type'], key: string, rangeEnd = ''): Permission => ({
  type,
  key: Buffer.from(key),
  rangeEnd: Buffer.from(rangeEnd),
});

const AUTH: AuthData = {
  enabled: true,
  roles: [
    { name: 'reader', permissions: [permission('read', '/a/', '/a0'), permission('readwrite', '/one')] },
    { name: 'nothing', permissions: [] },
  ],
  users: [
    { name: 'ann', roles: ['nothing', 'reader'], passwordHash: Buffer.from('$2a$10$abc') },
    { name: 'cert', roles: ['reader'], noPassword: true },
  ],
};

for (const etcd of etcdVersions()) {
  describe(`users and roles restored into etcd ${etcd.version}`, () => {
    it('are made once, roles before users, and authentication stays off', async () => {
      await using target = await RestoreTarget.start(etcd);
      const dry = await target.restore([kv('/a/1')], { withAuth: true, dryRun: true }, { auth: AUTH });
      expect(dry).toMatchObject({ rolesAdded: 2, usersAdded: 2 });
      expect(await target.cluster.authData()).toMatchObject({ users: [], roles: [] });

      const report = await target.restore([kv('/a/1')], { withAuth: true }, { auth: AUTH });
      expect(report).toMatchObject({ written: 1, rolesAdded: 2, usersAdded: 2 });
      expect(report.notes).toMatchObject([
        { code: 'auth-not-enabled', lossy: false },
        { code: 'user-without-password', count: 1, examples: ['ann'], lossy: false },
      ]);
      const there = await target.cluster.authData();
      expect(there?.roles.find(({ name }) => name === 'reader')).toEqual(AUTH.roles[0]);
      expect(there?.users.find(({ name }) => name === 'ann')?.roles).toEqual(['nothing', 'reader']);
      expect(there?.enabled).not.toBe(true);
      expect(await target.restore([kv('/a/1')], { withAuth: true }, { auth: AUTH })).toMatchObject({
        rolesAdded: 0,
        usersAdded: 0,
        written: 0,
      });
    });

    it('are left alone unless asked for, and a source without them says so', async () => {
      await using target = await RestoreTarget.start(etcd);
      await target.restore([kv('/a/1')], {}, { auth: AUTH });
      expect(await target.cluster.authData()).toMatchObject({ users: [], roles: [] });
      expect((await target.restore([kv('/a/1')], { withAuth: true })).notes).toMatchObject([{ code: 'no-auth-in-source' }]);
    });

    it('are in the way when they can do other things; what a run that was cut short left out is added', async () => {
      await using target = await RestoreTarget.start(etcd);
      await target.cluster.roleAdd('reader');
      await target.cluster.rolePermit('reader', permission('readwrite', '/one'));
      expect(await target.restore([], { withAuth: true }, { auth: AUTH })).toMatchObject({ rolesAdded: 1, usersAdded: 2 });
      const reader = async (): Promise<unknown> =>
        (await target.cluster.authData())?.roles.find(({ name }) => name === 'reader')?.permissions;
      expect(await reader()).toHaveLength(2);

      await target.cluster.rolePermit('reader', permission('write', '/other'));
      await target.cluster.userGrant('cert', 'nothing');
      const before = await target.revision();
      const error = await failure(target.restore([kv('/b')], { withAuth: true }, { auth: AUTH }));
      expect(error.code).toBe('in-the-way');
      expect(error.message).toContain('role reader, user cert');
      expect(await target.revision()).toBe(before);
      const skipped = await target.restore([kv('/b')], { withAuth: true, onConflict: 'skip' }, { auth: AUTH });
      expect(skipped.notes).toMatchObject([{ code: 'auth-skipped', count: 2 }, { code: 'auth-not-enabled' }]);
      const extended = await target.restore([kv('/b')], { withAuth: true, onConflict: 'overwrite' }, { auth: AUTH });
      expect(extended.notes).toMatchObject([{ code: 'auth-extended', count: 2 }, { code: 'auth-not-enabled' }]);
      expect(await reader()).toHaveLength(3);
    });
  });

  describe(`a user of etcd ${etcd.version} with few permissions`, () => {
    it('restores what it may, in several ranges at once, and is told what it may not', async () => {
      await using target = await RestoreTarget.start(etcd);
      for (const command of [
        'user add root:r',
        'user grant-role root root',
        'role add few',
        'role grant-permission few readwrite /a/ /a0',
        'role grant-permission few readwrite /c/ /c0',
        'user add few:f',
        'user grant-role few few',
        'auth enable',
      ]) {
        if (command === 'user grant-role root root' && etcd.minor !== '3.4') await target.server.etcdctl('role', 'add', 'root');
        await target.server.etcdctl(...command.split(' '));
      }
      const through = await connectV3(clusterOptions(target.server.endpoint, { user: 'few', password: 'f' }));
      const records = Array.from({ length: 400 }, (_, i) => kv(`${i % 2 === 0 ? '/a/' : '/c/'}${i}`, `${i}`));
      expect(await target.restore(records, { through }, { batch: 150 })).toMatchObject({ written: 400 });
      expect(await target.restore(records, { through })).toMatchObject({ written: 0, equal: 400 });
      expect((await failure(target.restore([kv('/b/1')], { through }))).code).toBe('unauthorized');
      expect((await failure(target.restore([], { through, withAuth: true }, { auth: AUTH }))).code).toBe('unauthorized');
      await through.close();
    });
  });
}
