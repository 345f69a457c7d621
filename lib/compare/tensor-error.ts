/** How far one tensor is from another, in float64. */

export interface TensorError {
  /** Squared error over squared size of the reference: |y - x|^2 / |x|^2. 0: equal; NaN never: 0 / 0 counts as 0. */
  nmse: number;
  /** Of the angle between the two, all values together: x.y / (|x| |y|). */
  cosine: number;
}

/** Adds up over parts of a tensor. */
export class ErrorSum {
  #error = 0;
  #reference = 0;
  #other = 0;
  #product = 0;

  static of(reference: Float32Array, other: Float32Array): TensorError {
    const sum = new ErrorSum();
    sum.add(reference, other);
    return sum.result;
  }

  add(reference: Float32Array, other: Float32Array): void {
    for (let i = 0; i < reference.length; i++) {
      const x = reference[i]!;
      const y = other[i]!;
      this.#error += (y - x) * (y - x);
      this.#reference += x * x;
      this.#other += y * y;
      this.#product += x * y;
    }
  }

  get result(): TensorError {
    const sizes = Math.sqrt(this.#reference * this.#other);
    return {
      nmse: this.#error === 0 ? 0 : this.#error / this.#reference,
      // Rounding may put it above 1.
      cosine: sizes === 0 ? 1 : Math.min(1, this.#product / sizes),
    };
  }
}
