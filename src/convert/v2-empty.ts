import { isUnder } from '../model/tree-path.js';
import type { PlacedNode } from './v2-walk.js';

interface Open {
  readonly placed: PlacedNode;
  /** Something under it becomes a key, or is an empty directory itself. */
  holds: boolean;
}

/** Finds the directories of a walked tree of which nothing is left, whatever was under them. */
export class EmptyDirectories {
  readonly #open: Open[] = [];

  /** @returns the directories that end before this path, and are empty */
  upTo(path: Buffer): PlacedNode[] {
    const empty: PlacedNode[] = [];
    for (let last = this.#open.at(-1); last !== undefined && !isUnder(path, last.placed.node.path); last = this.#open.at(-1)) {
      this.#open.pop();
      if (!last.holds) empty.push(last.placed);
      // A directory with an empty one in it is not empty.
      this.holds();
    }
    return empty;
  }

  /** A directory that lives, and is wanted. */
  enter(placed: PlacedNode): void {
    this.#open.push({ placed, holds: false });
  }

  /** Where the walk stands there is something that stays. */
  holds(): void {
    const last = this.#open.at(-1);
    if (last !== undefined) last.holds = true;
  }

  /** @returns the directories left open at the end of the tree that are empty */
  rest(): PlacedNode[] {
    return this.upTo(Buffer.alloc(0));
  }
}
