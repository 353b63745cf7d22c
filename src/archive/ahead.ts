/**
 * Does work for a list of items a few at a time, and gives the results in the order of the items.
 *
 * @param depth how many may be under way or waiting to be taken, at least 1
 */
export async function* ahead<T, R>(items: Iterable<T>, depth: number, work: (item: T) => Promise<R>): AsyncGenerator<R, void, undefined> {
  const pending: Promise<R>[] = [];
  for (const item of items) {
    const result = work(item);
    // Its failure is told when it is taken; if it never is, it is no news.
    result.catch(() => {});
    pending.push(result);
    if (pending.length >= depth) yield await (pending.shift() as Promise<R>);
  }
  while (pending.length > 0) yield await (pending.shift() as Promise<R>);
}
