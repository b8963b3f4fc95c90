// The takes of a song below each other, on the same axis of time.

import { canvasOf, colour } from "./timeline.js";
import { DURATION, ONSET, PITCH } from "./notes.js";

const OCTAVE = 12; // semitones that are shown at least

function describe(take, song) {
  if (take.parent === null) return "new line";
  if (take.edited) return `notes of take ${take.parent} edited`;
  const bars = take.ranges.map(([start, stop]) => {
    const [first, last] = barsWithin(song, start, stop);
    return first === last ? first : `${first}-${last}`;
  });
  return `bars ${bars.join(", ")} of take ${take.parent} written anew`;
}

// The numbers of the first and the last bar of a range of time.
export function barsWithin(song, start, stop) {
  const first = song.bars.findLastIndex(([begin]) => begin <= start + 1e-3);
  const last = song.bars.findLastIndex(([begin]) => begin < stop - 1e-3);
  return [song.firstBar + first, song.firstBar + last];
}

function drawSmall(canvas, take, song) {
  const { context, width, height } = canvasOf(canvas);
  const pitches = take.notes.map((note) => note[PITCH]);
  const [low, top] = [Math.min(...pitches), Math.max(...pitches)];
  const high = top + Math.max(0, Math.floor((OCTAVE - (top - low)) / 2));
  const row = height / Math.max(OCTAVE + 1, top - low + 1);
  context.fillStyle = colour("mark");
  for (const [start, stop] of take.ranges) {
    context.fillRect((start / song.seconds) * width, 0, ((stop - start) / song.seconds) * width, height);
  }
  context.fillStyle = colour("note");
  for (const note of take.notes) {
    const long = Math.max(1, (note[DURATION] / song.seconds) * width - 0.5);
    context.fillRect((note[ONSET] / song.seconds) * width, (high - note[PITCH]) * row, long, Math.max(2, row - 1));
  }
}

// Fill a list with takes. `choose` and `hide` are called with the number of a take.
export function showTakes(list, takes, current, song, choose, hide) {
  const focused = document.activeElement?.dataset.take;
  list.replaceChildren(
    ...takes.map((take) => {
      const item = document.createElement("li");
      item.classList.toggle("current", take.number === current);
      const button = document.createElement("button");
      button.type = "button";
      button.className = "choose";
      button.dataset.take = take.number;
      button.textContent = `Take ${take.number}`;
      button.setAttribute("aria-pressed", take.number === current);
      button.onclick = () => choose(take.number);
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "Hide";
      remove.setAttribute("aria-label", `Hide take ${take.number}`);
      remove.onclick = () => hide(take.number);
      const about = document.createElement("p");
      about.className = "about";
      const said = [describe(take, song), `${take.notes.length} notes`];
      if (take.fit !== null) said.push(`fits what is heard by ${take.fit.toFixed(2)} (0 is the best)`);
      if (take.rightShare !== null) said.push(`${Math.round(100 * take.rightShare)} % sounds as written`);
      if (take.options.tone !== "unknown") said.push(take.options.tone);
      about.textContent = said.join(" · ");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("height", "40");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Notes of take ${take.number}`);
      item.append(button, remove, canvas, about);
      return item;
    }),
  );
  if (focused) list.querySelector(`[data-take="${focused}"]`)?.focus();
  for (const [index, canvas] of [...list.querySelectorAll("canvas")].entries()) drawSmall(canvas, takes[index], song);
}
