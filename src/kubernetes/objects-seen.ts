import type { ObjectSelection, ObjectsSeen } from '../model/source.js';

/** Different values of each sort that are remembered at most. */
const MOST_KEPT = 1_000;

/** What a record is, as far as it matters to a choice of objects. */
interface Seen {
  /** Its kind, or where its value does not tell the resource it is stored under. */
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/** Watches what there is to choose objects from, for as long as a value of the selection has not been met. */
export class ObjectWatch implements ObjectsSeen {
  readonly selection: ObjectSelection;
  readonly kinds = new Set<string>();
  readonly namespaces = new Set<string>();
  readonly names = new Set<string>();
  readonly unmet: { readonly kinds: Set<string>; readonly namespaces: Set<string>; readonly names: Set<string> };
  any = false;
  #isDone = false;

  constructor(selection: ObjectSelection) {
    this.selection = selection;
    const { kinds, namespaces, names } = selection;
    this.unmet = { kinds: new Set(kinds), namespaces: new Set(namespaces), names: new Set(names) };
  }

  /** True once there is nothing more to find out. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** @param kinds those of the selection's kinds that the record is of */
  see({ kind, namespace = '', name = '' }: Seen, kinds: readonly string[]): void {
    this.any = true;
    for (const each of kinds) this.unmet.kinds.delete(each);
    this.unmet.namespaces.delete(namespace);
    this.unmet.names.delete(name);
    keep(this.kinds, kind);
    keep(this.namespaces, namespace);
    keep(this.names, name);
    this.#isDone = this.unmet.kinds.size + this.unmet.namespaces.size + this.unmet.names.size === 0;
  }
}

function keep(values: Set<string>, value: string): void {
  if (value !== '' && values.size < MOST_KEPT) values.add(value);
}
