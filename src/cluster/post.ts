import { Agent, fetch } from 'undici';

/**
 * Posts a text, following redirects.
 *
 * @param timeout in milliseconds
 * @returns the status of the answer
 * @throws what undici throws
 */
export async function post(url: URL, body: string, timeout: number): Promise<number> {
  // Said outright: else NODE_TLS_REJECT_UNAUTHORIZED switches the check of the certificate off.
  const dispatcher = new Agent({ connect: { rejectUnauthorized: true } });
  try {
    const answer = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(timeout), dispatcher });
    await answer.body?.cancel();
    return answer.status;
  } finally {
    await dispatcher.destroy();
  }
}
