type Json = unknown;

/**
 * Makes a plan that fails as small as goes by leaving out members of lists, as long as it still fails.
 *
 * @param fails tells whether a smaller plan fails, too
 * @param most how many plans to try
 */
export async function shrink<P>(plan: P, fails: (smaller: P) => Promise<boolean>, most: number): Promise<P> {
  let best = plan;
  let tried = 0;
  for (let found = true; found && tried < most; ) {
    found = false;
    for (const smaller of smallerThan(best)) {
      if (tried++ >= most) break;
      if (!(await fails(smaller as P))) continue;
      best = smaller as P;
      found = true;
      break;
    }
  }
  return best;
}

/** Every value that is like this one but for one member of one list, one lease or TTL, or one flag. */
function* smallerThan(value: Json): Generator<Json> {
  if (value === true) yield false;
  else if (Array.isArray(value)) yield* smallerLists(value);
  else if (typeof value === 'object' && value !== null) yield* smallerObjects(value);
}

function* smallerLists(list: readonly Json[]): Generator<Json> {
  for (let i = list.length - 1; i >= 0; i--) yield list.toSpliced(i, 1);
  // A list of lists holds pairs, which stay whole.
  for (let i = 0; i < list.length; i++) {
    if (!Array.isArray(list[i])) for (const smaller of smallerThan(list[i])) yield list.with(i, smaller);
  }
}

function* smallerObjects(object: object): Generator<Json> {
  for (const [name, member] of Object.entries(object)) {
    if (name === 'etcds') continue;
    if (typeof member === 'number') yield Object.fromEntries(Object.entries(object).filter(([other]) => other !== name));
    for (const smaller of smallerThan(member)) yield { ...object, [name]: smaller };
  }
}
