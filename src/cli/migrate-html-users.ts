import type { AuthData } from '../model/auth.js';
import { harmless } from '../model/shown-text.js';
import { type Html, html, NOTHING } from './html.js';
import { patternOf } from './migrate-report.js';

/** The users and roles of the v2 API, and how to make them again. */
export function usersSection(auth: AuthData | undefined): Html {
  if (auth === undefined) return NOTHING;
  const users = auth.users.map(
    ({ name, roles }) => html`<li><code>${name}</code> ${roles.length === 0 ? 'without a role' : `with ${roles.join(', ')}`}</li>`,
  );
  const commands = remakeCommands(auth);
  return html`<section><h2>Users and roles to be made again</h2>
<p>v2's users and roles are not v3's, and no server tells or takes a password. ${
    auth.enabled === true ? 'Authentication was on in the source. ' : ''
  }Paths in patterns are those of the source.</p>
<ul style="margin-top:12px">${users}</ul>${commands.length === 0 ? NOTHING : html`<pre>${commands.join('\n')}</pre>`}</section>`;
}

/** etcdctl commands that make the roles and users in v3. */
export function remakeCommands({ users, roles }: AuthData): string[] {
  const made = roles.filter(({ name }) => name !== 'guest');
  return [
    ...made.flatMap(({ name, permissions }) => [
      `etcdctl role add ${quoted(name)}`,
      ...(name === 'root' ? [] : permissions.map((each) => grant(name, each.type, patternOf(each)))),
    ]),
    ...users.flatMap(({ name, roles: has }) => [
      `etcdctl user add ${quoted(name)}`,
      ...has.filter((role) => role !== 'guest').map((role) => `etcdctl user grant-role ${quoted(name)} ${quoted(role)}`),
    ]),
  ];
}

function grant(role: string, type: string, pattern: string): string {
  const prefix = pattern.endsWith('*');
  const key = prefix ? pattern.slice(0, -1) : pattern;
  return `etcdctl role grant-permission ${prefix ? '--prefix ' : ''}${quoted(role)} ${type} ${quoted(key)}`;
}

/** A word as a shell takes it; bash and its like where it would steer a terminal otherwise. */
function quoted(word: string): string {
  if (harmless(word) !== word) return `$'${harmless(word.replace(/[\\']/g, '\\$&'))}'`;
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
