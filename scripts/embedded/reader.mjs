// Reads the little-endian numbers and texts that the published forms are made of.

/** A little-endian reader over a Buffer. */
export class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.offset = 0;
  }

  int32() {
    const value = this.bytes.readInt32LE(this.offset);
    this.offset += 4;
    return value;
  }

  float32() {
    const value = this.bytes.readFloatLE(this.offset);
    this.offset += 4;
    return value;
  }

  text(length) {
    const value = this.bytes.toString('utf8', this.offset, this.offset + length);
    this.offset += length;
    return value;
  }

  /** @returns {Float32Array} */
  floats(count) {
    const value = new Float32Array(count);
    for (let i = 0; i < count; i++) value[i] = this.float32();
    return value;
  }
}
