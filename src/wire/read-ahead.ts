/**
 * Asks for the next value while the current one is used. What a value shares memory with must stay
 * as it is while one more is made.
 */
export async function* readAhead<T>(values: AsyncGenerator<T>): AsyncGenerator<T> {
  let ahead = values.next();
  try {
    for (;;) {
      const current = await ahead;
      if (current.done === true) return;
      ahead = values.next();
      // Whoever stops early never looks at it.
      ahead.catch(() => {});
      yield current.value;
    }
  } finally {
    await ahead.catch(() => {});
    await values.return(undefined);
  }
}
