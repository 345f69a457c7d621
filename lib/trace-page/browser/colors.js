/** Colours of pictures: two arms from the ground for signed values, one for weights. They follow the page's theme. */

/** @typedef {{ ground: number[], negative: number[], positive: number[], weight: number[] }} Palette */

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

/** @returns {Palette} */
function colors() {
  palette ??= {
    ground: property('--cell'),
    negative: property('--negative'),
    positive: property('--positive'),
    weight: property('--weight'),
  };
  return palette;
}

/**
 * Writes the colour of a value into pixels at `at`. NaN is drawn as what is not there.
 * @param {Uint8ClampedArray} pixels @param {number} at @param {number} value @param {number} end of the scale @param {boolean} signed
 */
export function paint(pixels, at, value, end, signed) {
  const { ground, negative, positive, weight } = colors();
  if (Number.isNaN(value)) {
    pixels[at + 3] = 0;
    return;
  }
  const share = end === 0 ? 0 : Math.min(1, Math.abs(value) / end);
  const arm = !signed ? weight : value < 0 ? negative : positive;
  // Small values are seen, and large ones still differ.
  const part = share ** 0.7;
  for (let i = 0; i < 3; i++) pixels[at + i] = ground[i] + (arm[i] - ground[i]) * part;
  pixels[at + 3] = 255;
}

/** @param {number} share from -1 or 0 to 1 @param {boolean} signed */
export function cssColor(share, signed) {
  const pixel = new Uint8ClampedArray(4);
  paint(pixel, 0, share, 1, signed);
  return `rgb(${pixel[0]} ${pixel[1]} ${pixel[2]})`;
}
