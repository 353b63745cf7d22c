/**
 * Thrown inside the codec, and caught there, when a value is not what the generation tried would
 * have written. One object: it is thrown often, and must cost nothing.
 */
export const MISFIT: Error = new Error('not what this Kubernetes release would have written');
