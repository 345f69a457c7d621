// Writes float32 tensors as a .safetensors file.

/** @typedef {{ shape: number[], data: Float32Array }} Tensor */

/**
 * @param {Record<string, Tensor>} tensors stored in the given order, all F32
 * @returns {Buffer} the bytes of a .safetensors file
 */
export function safetensors(tensors) {
  const header = { __metadata__: { format: 'pt' } };
  const chunks = [];
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const count = shape.reduce((product, n) => product * n, 1);
    if (count !== data.length) throw new Error(`${name}: ${data.length} values for the shape ${shape}`);
    const chunk = Buffer.alloc(4 * count);
    data.forEach((value, i) => {
      chunk.writeFloatLE(value, 4 * i);
    });
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + chunk.length] };
    offset += chunk.length;
    chunks.push(chunk);
  }
  let json = JSON.stringify(header);
  // Data begins at a multiple of 8: the header is padded with spaces.
  while (Buffer.byteLength(json) % 8 !== 0) json += ' ';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  return Buffer.concat([length, Buffer.from(json), ...chunks]);
}
