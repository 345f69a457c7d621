/** Beginnings of texts of different kinds, for measurements beside PyTorch. */
export const beginnings = [
  'The capital of France is',
  'Once upon a time, in a village by the sea,',
  'def fibonacci(n):\n    """The n-th Fibonacci number."""\n',
  'Q: What is 17 + 25?\nA:',
  'Die Würde des Menschen ist',
  '{"name": "Ada Lovelace", "born":',
  'Ingredients:\n- 200 g flour\n- 3 eggs\n',
];
