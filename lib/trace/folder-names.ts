/** What the files of a trace are called. */
export const tensorsName = 'tensors.safetensors';
export const jsonName = 'trace.json';
