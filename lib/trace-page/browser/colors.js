/** Colours of pictures: two arms from the ground for signed values, one for weights. They follow the page's theme. */

/**
 * Red, green and blue of `steps` shares, from the ground to the end of an arm.
 * @typedef {{ negative: Uint8ClampedArray, positive: Uint8ClampedArray, weight: Uint8ClampedArray }} Palette
 */

const steps = 256;

/** @type {Palette | undefined} */
let palette;

/** To be read again: the theme changed. */
export function forgetPalette() {
  palette = undefined;
}

/** @param {string} name of a custom property, '#rrggbb' @returns {number[]} */
function property(name) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => Number.parseInt(value.slice(at, at + 2), 16));
}

/** @param {number[]} ground @param {number[]} end @returns {Uint8ClampedArray} */
function arm(ground, end) {
  const shades = new Uint8ClampedArray(3 * steps);
  for (let i = 0; i < shades.length; i++) {
    // Small values are seen, and large ones still differ.
    const part = (Math.floor(i / 3) / (steps - 1)) ** 0.7;
    shades[i] = ground[i % 3] + (end[i % 3] - ground[i % 3]) * part;
  }
  return shades;
}

/** @returns {Palette} */
function colors() {
  if (palette === undefined) {
    const ground = property('--cell');
    const of = (/** @type {string} */ name) => arm(ground, property(name));
    palette = { negative: of('--negative'), positive: of('--positive'), weight: of('--weight') };
  }
  return palette;
}

/**
 * Writes the colour of a value into pixels at `at`. NaN is drawn as what is not there.
 * @param {Uint8ClampedArray} pixels @param {number} at @param {number} value @param {number} end of the scale @param {boolean} signed
 */
export function paint(pixels, at, value, end, signed) {
  const { negative, positive, weight } = colors();
  if (Number.isNaN(value)) {
    pixels[at + 3] = 0;
    return;
  }
  const share = end === 0 ? 0 : Math.min(1, Math.abs(value) / end);
  const shades = !signed ? weight : value < 0 ? negative : positive;
  const from = 3 * Math.round(share * (steps - 1));
  for (let i = 0; i < 3; i++) pixels[at + i] = shades[from + i];
  pixels[at + 3] = 255;
}

/** @param {number} share from -1 or 0 to 1 @param {boolean} signed */
export function cssColor(share, signed) {
  const pixel = new Uint8ClampedArray(4);
  paint(pixel, 0, share, 1, signed);
  return `rgb(${pixel[0]} ${pixel[1]} ${pixel[2]})`;
}
