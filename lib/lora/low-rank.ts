/** A LoRA adapter as its file has it: for each module two matrices, under the module's name in a checkpoint. */

/** What is added to what a linear makes of x: scale * B (A x). */
export interface LowRankModule {
  /** Of the linear's weight in a checkpoint of the file's format, without `.weight`. */
  name: string;
  rank: number;
  /** Of x. */
  inputs: number;
  /** Rows of the linear. */
  outputs: number;
  /** [rank, inputs] */
  a: Float32Array;
  /** [outputs, rank] */
  b: Float32Array;
  scale: number;
}

export interface AdapterFile {
  /** Whose names the modules have: those of Hugging Face checkpoints, or of GGUF files. */
  format: 'peft' | 'gguf';
  modules: readonly LowRankModule[];
  /** The model that it was made for, as the file says. */
  baseModel: string | undefined;
  /** `general.architecture` of a GGUF file. */
  architecture: string | undefined;
}
