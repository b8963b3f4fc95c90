// The part of the song that is shown, and the lanes that draw it: bars, chords and waveforms.

const CLOSEST = 2; // s; the shortest part that can be shown
const BLOCK = 256; // samples that a peak stands for
const LEAST_PIXELS = 6; // for each second of a song that has just been opened

export class TimeView extends EventTarget {
  constructor() {
    super();
    this.reset(1);
  }
  // Begin with a song. On a narrow screen, only as much of it is shown as can be read.
  reset(duration, width = Infinity) {
    [this.duration, this.start] = [duration, 0];
    this.end = Math.min(duration, Math.max(width / LEAST_PIXELS, CLOSEST));
    this.dispatchEvent(new Event("change"));
  }
  get length() { return this.end - this.start; }
  show(start, length) {
    length = Math.min(Math.max(length, Math.min(CLOSEST, this.duration)), this.duration);
    this.start = Math.min(Math.max(0, start), this.duration - length);
    this.end = this.start + length;
    this.dispatchEvent(new Event("change"));
  }
  zoom(factor, around) {
    const length = this.length * factor;
    this.show(around - ((around - this.start) / this.length) * length, length);
  }
  // Bring a time into view, as the head of the player passes the edge.
  follow(time) {
    if (time < this.start || time > this.end) this.show(time - this.length * 0.1, this.length);
  }
  x(time, width) { return ((time - this.start) / this.length) * width; }
  time(x, width) { return this.start + (x / width) * this.length; }
}

const styles = getComputedStyle(document.documentElement);
export const colour = (name) => styles.getPropertyValue(`--${name}`);

// Make a canvas as sharp as the screen, clear it, and return its context and size in CSS pixels.
export function canvasOf(canvas) {
  const ratio = devicePixelRatio || 1;
  canvas.tall ??= Number(canvas.getAttribute("height"));
  const [width, height] = [canvas.clientWidth, canvas.tall];
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  return { context, width, height };
}

// The lowest and highest sample of each block of a sound, of all channels.
export function peaksOf(channels) {
  const count = Math.ceil(channels[0].length / BLOCK);
  const [low, high] = [new Float32Array(count), new Float32Array(count)];
  for (const samples of channels) {
    for (let block = 0; block < count; block++) {
      const end = Math.min((block + 1) * BLOCK, samples.length);
      for (let at = block * BLOCK; at < end; at++) {
        if (samples[at] < low[block]) low[block] = samples[at];
        else if (samples[at] > high[block]) high[block] = samples[at];
      }
    }
  }
  return { low, high };
}

export const channelsOf = (buffer) =>
  Array.from({ length: buffer.numberOfChannels }, (_, index) => buffer.getChannelData(index));

// The sum of two sounds, the second of them multiplied by a gain.
export function mixed(one, other, gain) {
  return one.map((samples, index) => {
    const added = other[Math.min(index, other.length - 1)];
    return samples.map((sample, at) => sample + gain * (added[at] ?? 0));
  });
}

// The largest distance of a sound from silence.
export function peakOf({ low, high }) {
  let most = 0;
  for (let at = 0; at < low.length; at++) most = Math.max(most, -low[at], high[at]);
  return most;
}

export function drawWave(canvas, view, peaks, name, gain = 1) {
  const { context, width, height } = canvasOf(canvas);
  context.fillStyle = colour("grid");
  context.fillRect(0, height / 2, width, 1);
  if (!peaks) return;
  context.fillStyle = colour(name);
  const count = peaks.low.length;
  const perPixel = ((view.length / view.duration) * count) / width;
  const first = (view.start / view.duration) * count;
  for (let x = 0; x < width; x++) {
    let [low, high] = [0, 0];
    const from = Math.floor(first + x * perPixel);
    const to = Math.min(count, Math.max(from + 1, Math.floor(first + (x + 1) * perPixel)));
    for (let at = from; at < to; at++) {
      low = Math.min(low, peaks.low[at]);
      high = Math.max(high, peaks.high[at]);
    }
    const top = Math.max(0, (height / 2) * (1 - high * gain));
    const bottom = Math.min(height, (height / 2) * (1 - low * gain));
    context.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

// Shade the marked ranges of time, and draw the lines of the bars.
export function drawBars(context, width, height, view, song, marked) {
  context.fillStyle = colour("mark");
  for (const [start, stop] of marked) {
    context.fillRect(view.x(start, width), 0, ((stop - start) / view.length) * width, height);
  }
  context.fillStyle = colour("bar");
  for (const [start] of song.bars) context.fillRect(Math.round(view.x(start, width)), 0, 1, height);
}

export function drawRuler(canvas, view, song, marked) {
  const { context, width, height } = canvasOf(canvas);
  drawBars(context, width, height, view, song, marked);
  context.fillStyle = colour("ink");
  let free = -1;
  song.bars.forEach(([start], index) => {
    const x = view.x(start, width) + 4;
    const label = String(song.firstBar + index);
    if (x < free || x < 0) return;
    context.fillText(label, x, height / 2);
    free = x + context.measureText(label).width + 10;
  });
}

export function drawChords(canvas, view, chords) {
  const { context, width, height } = canvasOf(canvas);
  let free = -1;
  for (const [start, end, symbol] of chords) {
    const x = view.x(start, width);
    if (view.x(end, width) < 0 || x > width) continue;
    context.fillStyle = colour("bar");
    context.fillRect(x, 0, 1, height);
    const at = Math.max(x, 0) + 4;
    const stop = at + context.measureText(symbol).width;
    if (at < free || stop > view.x(end, width)) continue;
    context.fillStyle = colour("ink");
    context.fillText(symbol, at, height / 2);
    free = stop + 6;
  }
}
