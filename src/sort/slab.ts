/**
 * Copies within one piece of memory are three times as fast as between two: no view has to be made.
 * So whatever is copied record by record is laid into one slab, sources and staging areas alike.
 */
export function copyInto(slab: Buffer, at: number, bytes: Buffer, start: number, end: number): void {
  if (bytes === slab) slab.copyWithin(at, start, end);
  else bytes.copy(slab, at, start, end);
}

/** An area of a slab. */
export interface Area {
  readonly slab: Buffer;
  readonly at: number;
  readonly size: number;
}

/** A slab of its own as an area. */
export function newArea(size: number): Area {
  return { slab: Buffer.allocUnsafeSlow(size), at: 0, size };
}

export function partOf(area: Area, from: number, size: number): Area {
  return { slab: area.slab, at: area.at + from, size };
}
