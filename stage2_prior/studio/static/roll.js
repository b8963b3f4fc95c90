// The piano roll: draws the notes of a take, and edits them with pointer and keyboard.

import { canvasOf, colour, drawBars } from "./timeline.js";
import {
  DURATION, ONSET, PITCH, SHORTEST, VELOCITY,
  endOf, isBlack, pitchName, snapped, stepAt, withNote, withoutNote,
} from "./notes.js";

const EDGE = 8; // pixels at the end of a note that change its length
const MARGIN = 2; // semitones shown around the notes
const LEAST = 15; // semitones that are shown at least
const USUAL = { low: 28, high: 43 };

export class Roll extends EventTarget {
  // `pitches` is the range that a bass has. Edits are told as events "edit", whose detail has the
  // notes and the name of the action; what is chosen, as events "choose".
  constructor(canvas, view, pitches) {
    super();
    Object.assign(this, { canvas, view, pitches, notes: [], marked: [], chosen: -1, snap: true, drawing: false, ...USUAL });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("dblclick", (event) => this.addAt(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  show(song, notes, marked) {
    if (notes !== this.notes && this.chosen >= notes.length) this.chosen = -1;
    Object.assign(this, { song, notes, marked });
    const used = notes.map((note) => note[PITCH]);
    // The range stays as long as it holds all notes, so that nothing jumps while they are edited.
    if (used.length && !used.every((pitch) => this.low <= pitch && pitch <= this.high)) {
      let [low, high] = [Math.min(...used) - MARGIN, Math.max(...used) + MARGIN];
      const missing = Math.max(0, LEAST - (high - low + 1));
      low = Math.max(this.pitches[0], low - Math.floor(missing / 2));
      high = Math.min(this.pitches[1], Math.max(high, low + LEAST - 1));
      Object.assign(this, { low, high });
    }
    this.draw();
  }

  // Show the next song from the usual range on.
  forget() { Object.assign(this, { ...USUAL, chosen: -1 }); }

  get rows() { return this.high - this.low + 1; }
  y(pitch, height) { return ((this.high - pitch) / this.rows) * height; }
  pitchAt(y, height) {
    const pitch = this.high - Math.floor((y / height) * this.rows);
    return Math.min(Math.max(pitch, this.pitches[0]), this.pitches[1]);
  }

  draw() {
    const { context, width, height } = canvasOf(this.canvas);
    if (!this.song) return;
    const row = height / this.rows;
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      if (isBlack(pitch)) {
        context.fillStyle = colour("black-key");
        context.fillRect(0, this.y(pitch, height), width, row);
      }
    }
    context.fillStyle = colour("grid");
    for (const beat of this.song.beats) context.fillRect(Math.round(this.view.x(beat, width)), 0, 1, height);
    drawBars(context, width, height, this.view, this.song, this.marked);
    this.notes.forEach((note, index) => {
      const x = this.view.x(note[ONSET], width);
      const long = Math.max(2, (note[DURATION] / this.view.length) * width - 1);
      if (x + long < 0 || x > width) return;
      context.fillStyle = colour(index === this.chosen ? "note-chosen" : "note");
      context.fillRect(x, this.y(note[PITCH], height) + 1, long, row - 2);
      if (long < EDGE) return; // a note so short would be nothing but its edge
      context.fillStyle = colour("note-edge");
      context.fillRect(x, this.y(note[PITCH], height) + 1, 2, row - 2);
    });
    context.fillStyle = colour("soft");
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      if (pitch % 12 === 0 || pitch % 12 === 4 || pitch % 12 === 9) {
        context.fillText(pitchName(pitch), 3, this.y(pitch, height) + row / 2);
      }
    }
  }

  // Where an event is, as a time and a pitch, and which note is there.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [time, pitch] = [this.view.time(x, box.width), this.pitchAt(y, box.height)];
    const index = this.notes.findIndex(
      (note) => note[PITCH] === pitch && note[ONSET] <= time && time <= endOf(note),
    );
    const end = index < 0 ? 0 : this.view.x(endOf(this.notes[index]), box.width);
    return { time, pitch, index, atEdge: index >= 0 && end - x < EDGE };
  }

  hover(event) {
    if (this.grip || !this.song) return;
    const { index, atEdge } = this.at(event);
    this.canvas.style.cursor = index < 0 ? (this.drawing ? "crosshair" : "default") : atEdge ? "ew-resize" : "grab";
  }

  press(event) {
    if (!this.song || event.button !== 0) return;
    const place = this.at(event);
    if (place.index < 0 && this.drawing) {
      this.insert(place.time, place.pitch);
      return;
    }
    this.choose(place.index);
    if (place.index < 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.grip = { ...place, note: this.notes[place.index], before: this.notes };
    const move = (moved) => this.drag(moved);
    const release = () => {
      this.canvas.removeEventListener("pointermove", move);
      const { before, atEdge } = this.grip;
      this.grip = null;
      if (this.notes !== before) this.tell(atEdge ? "change the length of a note" : "move a note");
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", release, { once: true });
    this.canvas.addEventListener("pointercancel", release, { once: true });
  }

  drag(event) {
    const { time, pitch, index, note, before, atEdge } = this.grip;
    const now = this.at(event);
    const shift = now.time - time;
    this.change(before, index, atEdge
      ? [note[ONSET], this.lengthTo(note, endOf(note) + shift), note[PITCH], note[VELOCITY]]
      : [this.onset(note[ONSET] + shift), note[DURATION], note[PITCH] + now.pitch - pitch, note[VELOCITY]]);
  }

  // Replace one of some notes.
  change(notes, index, note) {
    const [low, high] = this.pitches;
    note[PITCH] = Math.min(Math.max(note[PITCH], low), high);
    const placed = withNote(withoutNote(notes, index), note);
    this.notes = placed.notes;
    this.chosen = placed.index;
    this.draw();
  }

  onset(time) {
    const free = Math.min(Math.max(time, 0), this.song.seconds - SHORTEST);
    const onset = this.snap ? snapped(free, this.song.beats) : free;
    return Math.min(Math.max(onset, 0), this.song.seconds - SHORTEST);
  }

  lengthTo(note, end) {
    const to = this.snap ? snapped(end, this.song.beats) : end;
    return Math.max(SHORTEST, Math.min(to, this.song.seconds) - note[ONSET]);
  }

  addAt(event) {
    const place = this.at(event);
    if (place.index < 0 && !this.drawing) this.insert(place.time, place.pitch);
  }

  insert(time, pitch) {
    const onset = this.onset(time);
    const placed = withNote(this.notes, [onset, 2 * stepAt(onset, this.song.beats), pitch, 96]);
    this.notes = placed.notes;
    this.chosen = placed.index;
    this.tell("draw a note");
  }

  remove() {
    if (this.chosen < 0) return;
    this.notes = withoutNote(this.notes, this.chosen);
    this.chosen = -1;
    this.tell("delete a note");
  }

  choose(index) {
    this.chosen = index;
    this.draw();
    this.dispatchEvent(new Event("choose"));
  }

  // What a screen reader says of the chosen note.
  get spoken() {
    const note = this.notes[this.chosen];
    if (!note) return "No note is chosen.";
    const bar = this.song.bars.findLastIndex(([start]) => start <= note[ONSET] + 1e-6);
    return `Note ${this.chosen + 1} of ${this.notes.length}, ${pitchName(note[PITCH])}, bar ${this.song.firstBar + bar}, ${note[DURATION].toFixed(2)} seconds.`;
  }

  key(event) {
    if (!this.song || event.ctrlKey || event.metaKey) return;
    const note = this.notes[this.chosen];
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const upward = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter") this.dispatchEvent(new Event("insert"));
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape") this.choose(-1);
    else if (upward && note) {
      this.change(this.notes, this.chosen, [note[ONSET], note[DURATION], note[PITCH] + upward, note[VELOCITY]]);
      this.tell("move a note");
    } else if (sideways && event.shiftKey && note) {
      const end = endOf(note) + sideways * stepAt(note[ONSET], this.song.beats);
      this.change(this.notes, this.chosen, [note[ONSET], this.lengthTo(note, end), note[PITCH], note[VELOCITY]]);
      this.tell("change the length of a note");
    } else if (sideways && event.altKey && note) {
      const onset = this.onset(note[ONSET] + sideways * stepAt(note[ONSET], this.song.beats));
      this.change(this.notes, this.chosen, [onset, note[DURATION], note[PITCH], note[VELOCITY]]);
      this.tell("move a note");
    } else if (sideways && this.notes.length) {
      this.choose(Math.min(Math.max(this.chosen + sideways, 0), this.notes.length - 1));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  tell(action) {
    this.draw();
    this.dispatchEvent(new CustomEvent("edit", { detail: { action, notes: this.notes } }));
    this.dispatchEvent(new Event("choose"));
  }
}
