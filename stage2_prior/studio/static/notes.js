// Notes as the server writes them, [onset, duration, pitch, velocity], and what editing does to
// them. Times are in seconds. Every function returns new notes.

export const [ONSET, DURATION, PITCH, VELOCITY] = [0, 1, 2, 3];
export const SHORTEST = 0.06; // s
const NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];

export const pitchName = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;
export const isBlack = (pitch) => NAMES[pitch % 12].length > 1;
export const endOf = (note) => note[ONSET] + note[DURATION];

// Snap a time to the nearest quarter of a beat.
export function snapped(time, beats) {
  let index = beats.findLastIndex((beat) => beat <= time);
  index = Math.min(Math.max(index, 0), beats.length - 2);
  const length = beats[index + 1] - beats[index];
  return beats[index] + (Math.round(((time - beats[index]) / length) * 4) / 4) * length;
}

// How long a quarter of a beat is at a time.
export function stepAt(time, beats) {
  let index = beats.findLastIndex((beat) => beat <= time);
  index = Math.min(Math.max(index, 0), beats.length - 2);
  return (beats[index + 1] - beats[index]) / 4;
}

// Put a note among others. A bass plays one note at a time: the note before it ends where it
// begins, it ends where the next one begins, and one with the same onset makes room for it.
export function withNote(notes, note) {
  const others = notes.filter((other) => Math.abs(other[ONSET] - note[ONSET]) > 1e-3);
  const next = others.find((other) => other[ONSET] > note[ONSET]);
  const added = [...note];
  if (next && endOf(added) > next[ONSET]) added[DURATION] = next[ONSET] - added[ONSET];
  const shortened = others.map((other) =>
    other[ONSET] < note[ONSET] && endOf(other) > note[ONSET]
      ? [other[ONSET], note[ONSET] - other[ONSET], other[PITCH], other[VELOCITY]]
      : other,
  );
  const all = [...shortened, added].sort((a, b) => a[ONSET] - b[ONSET]);
  return { notes: all, index: all.indexOf(added) };
}

export const withoutNote = (notes, index) => notes.filter((_, at) => at !== index);
