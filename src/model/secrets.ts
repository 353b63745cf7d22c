/** What stands in the place of what may be a secret. */
const HIDDEN = '…';

/** The secret key of an age identity, of any kind and in either case, with whatever stands behind it. */
const AGE_SECRET = /AGE-SECRET-KEY-[A-Za-z0-9-]*/gi;
/** PEM, also with its line ends lost or written as `\n` or `\x0a`, and also cut off. */
const PEM = /-----BEGIN [A-Za-z0-9 ]*(-----[\s\S]*?(-----END [A-Za-z0-9 ]*-----|$)|$)/gi;
const URL_LIKE = /\b([a-z][a-z0-9+.-]*):\/\/([^\s"'`<>,]*)/gi;
/** `user:password@`, where no URL is around it. */
const USER_INFO = /[^\s"'`/:@]+:(?!\/\/)[^\s"'`@]+@(?=[^\s@])/g;
/** Whose path is a place that a message has to name. */
const SHOWN_PATHS: ReadonlySet<string> = new Set(['s3', 'file', 'unix']);

/**
 * A message without what may be a secret in it, whatever it was given as: secret keys of age, PEM, and of URLs user, password,
 * query and fragment; the path, too, but for buckets and files, since whoever knows the URL of a healthcheck or a signed
 * one may use it.
 */
export function withoutSecrets(text: string): string {
  if (!/AGE-SECRET-KEY|-----BEGIN|:\/\/|@/i.test(text)) return text;
  return text
    .replace(PEM, HIDDEN)
    .replace(AGE_SECRET, HIDDEN)
    .replace(URL_LIKE, (_, scheme: string, rest: string) => `${scheme}://${shownRest(scheme.toLowerCase(), rest)}`)
    .replace(USER_INFO, `${HIDDEN}@`);
}

/** @param rest of a URL, behind its `://` */
function shownRest(scheme: string, rest: string): string {
  // A password may have a slash in it that was not escaped: all before the last @ may be one.
  const at = rest.lastIndexOf('@');
  const [, shown = '', tail = ''] = /^([^?#]*)(.*)$/s.exec(rest.slice(at + 1)) ?? [];
  const path = shown.indexOf('/');
  const hidesPath = path >= 0 && !SHOWN_PATHS.has(scheme) && /[^/:.;)\]]/.test(shown.slice(path + 1));
  const place = hidesPath ? `${shown.slice(0, path)}/${HIDDEN}` : shown;
  const query = tail.length > 1 ? `${tail.charAt(0)}${HIDDEN}` : tail;
  return `${at < 0 ? '' : `${HIDDEN}@`}${place}${hidesPath ? '' : query}`;
}

/**
 * What was given where something of another form is wanted, to be repeated in a message: as `"text"` where it looks like a
 * slip of what is wanted, which begins with a digit or has no more than five letters; else it may be a secret that was given to the wrong flag.
 */
export function shownSlip(text: string): string {
  return isSlip(text) ? `"${text}"` : 'what was given';
}

/** Whether a text is too short to be a secret, or looks like a number, a time or a size. */
export function isSlip(text: string): boolean {
  return /^([-+]?\d[\w.:+, -]{0,24}|[a-z]{0,5})$/i.test(text);
}
