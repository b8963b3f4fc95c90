// The page: holds one session, shows it, and sends what the user does.

import * as api from "./api.js";
import { Player } from "./player.js";
import { Roll } from "./roll.js";
import { barsWithin, showTakes } from "./takes.js";
import {
  TimeView, channelsOf, drawChords, drawRuler, drawWave, mixed, peakOf, peaksOf,
} from "./timeline.js";
import { pitchName } from "./notes.js";

const at = (id) => document.getElementById(id);
const FILES = [
  ["mix.wav", "Mix (WAV)"], ["bass.wav", "Bass (WAV)"], ["backing.wav", "Backing (WAV)"],
  ["mid", "Notes (MIDI)"], ["json", "All that is known (JSON)"], ["zip", "Everything (ZIP)"],
];
const SOUND_NAMES = {
  best: "the model's own", codec: "the codec's decoder", upright: "upright (SoundFont)",
  finger: "fingered (SoundFont)", pick: "picked (SoundFont)", fretless: "fretless (SoundFont)",
  slap: "slap (SoundFont)", synth: "synth (SoundFont)",
};

const KEPT = 3; // decoded takes beside the one that is heard

const player = new Player();
const view = new TimeView();
let setup, roll;
let session = null; // api.Session
let doc = null; // what the server says of it
let jobs = [];
const ended = new Set(); // the jobs whose end was dealt with
let newsCame;
const firstNews = new Promise((resolve) => { newsCame = resolve; });
let sounds = {}; // decoded sound by name: original, backing, and takes by number
let peaks = {}; // peaks of backing, bass and mix
let shownTake = null; // the take whose sound is loaded
let headroom = 1; // keeps the mix from clipping
let mixOf = null; // what `peaks.mix` and `match` are of
let match = null; // what the original and the mix are multiplied by to be equally loud
const muted = { backing: false, bass: false };
const soloed = { backing: false, bass: false };
let comparing = false, looping = false;

// ---- saying things

function alertUser(message) {
  const line = document.createElement("p");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.onclick = () => line.remove();
  line.append(message, close);
  at("alerts").replaceChildren(line);
}

const say = (text) => { at("spoken").textContent = text; };
const clearAlerts = () => at("alerts").replaceChildren();

// Run what the user asked for; say it where it fails.
async function attempt(work) {
  try {
    clearAlerts();
    return await work();
  } catch (error) {
    alertUser(error.message);
  }
}

const clock = (time) => `${Math.floor(time / 60)}:${(time % 60).toFixed(1).padStart(4, "0")}`;

// ---- choosing a song

async function begin() {
  setup = await api.welcome();
  roll = new Roll(at("roll"), view, setup.pitches);
  prepareControls();
  at("limits").textContent = `WAV, FLAC, OGG, MP3, M4A and others, up to ${setup.limits.megabytes} MB and ${setup.limits.minutes} minutes`;
  api.watchJobs((now) => {
    if (newsCame) for (const job of now) if (!active(job)) ended.add(job.id);
    newsCame?.();
    newsCame = null;
    attemptQuietly(() => jobsChanged(now));
  }, (reached) => {
    at("gone").textContent = reached ? "" : api.GONE;
    at("gone").hidden = reached;
  });
  const wanted = location.hash.slice(1);
  if (wanted) await open(wanted);
  else showStart();
}

async function showStart() {
  leave();
  setup = await api.welcome();
  at("songs").hidden = setup.sessions.length === 0;
  at("song-list").replaceChildren(
    ...setup.sessions.map(({ id, name }) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.onclick = () => attempt(() => open(id));
      item.append(button);
      return item;
    }),
  );
}

function leave() {
  player.empty();
  [session, doc, shownTake, mixOf, match, sounds, peaks] = [null, null, null, null, null, {}, {}];
  looping = comparing = false;
  for (const id of ["loop", "compare"]) press(id, false);
  history.replaceState(null, "", location.pathname);
  at("title").textContent = "";
  for (const id of ["work", "session-actions"]) at(id).hidden = true;
  at("start").hidden = false;
  showJobs();
}

async function send(file) {
  if (!file) return;
  if (file.size > setup.limits.megabytes * 1e6) {
    return alertUser(`${file.name} is larger than ${setup.limits.megabytes} MB: choose a smaller file.`);
  }
  await attempt(async () => {
    at("start").hidden = true;
    let sent = 0;
    const bar = jobLine(() => `sending ${file.name}`, () => sent);
    const timer = setInterval(bar.tick, 200);
    at("jobs").replaceChildren(bar.line);
    at("jobs").hidden = false;
    try {
      const made = await api.upload(file, at("own-bass").value, (share) => { sent = share; });
      location.hash = made.id;
      session = new api.Session(made.id);
      at("title").textContent = made.name;
      await jobsChanged(jobs); // it may be open already
    } catch (error) {
      at("start").hidden = false;
      throw error;
    } finally {
      clearInterval(timer);
      at("file").value = "";
      showJobs();
    }
  });
}

async function open(id) {
  leave();
  session = new api.Session(id);
  location.hash = id;
  at("start").hidden = true;
  showJobs();
  try {
    const loaded = await session.load();
    await take(loaded);
  } catch (error) {
    await firstNews;
    if (jobs.some((job) => job.session === id && active(job))) return; // it is being opened
    alertUser(error.message);
    await showStart();
  }
}

// ---- jobs

const active = (job) => job.state === "waiting" || job.state === "running";

async function jobsChanged(now) {
  jobs = now;
  showJobs();
  for (const job of jobs) {
    if (job.session !== session?.id || active(job) || ended.has(job.id)) continue;
    ended.add(job.id);
    if (job.state === "failed") alertUser(job.problem);
    if (job.state === "done") {
      say(`${job.label}: done.`);
      await ask((wanted) => wanted.load());
    } else if (!doc) {
      await showStart();
    }
  }
}

const begun = new Map(); // when each job was first seen running

// A line with a text and a bar, both of which functions give anew with every tick.
function jobLine(text, share, cancel) {
  const line = document.createElement("div");
  line.className = "job";
  const said = document.createElement("span");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", "Progress");
  line.append(said, bar);
  if (cancel) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Cancel";
    button.onclick = () => attempt(cancel);
    line.append(button);
  }
  const tick = () => {
    bar.value = share();
    said.textContent = text();
  };
  tick();
  return { line, tick };
}

let ticking = [];

function showJobs() {
  const mine = jobs.filter((job) => active(job) && job.session === session?.id);
  ticking = mine.map((job) => {
    if (job.state === "running" && !begun.has(job.id)) begun.set(job.id, performance.now());
    const text = () => {
      if (job.state === "waiting") return `${job.label}: waits for ${job.before} other ${job.before === 1 ? "job" : "jobs"}`;
      const seconds = Math.round((performance.now() - begun.get(job.id)) / 1000);
      return `${job.label}: ${job.step}, ${seconds} s`;
    };
    return jobLine(text, () => job.done, () => api.cancel(job.id));
  });
  at("jobs").replaceChildren(...ticking.map(({ line }) => line));
  at("jobs").hidden = ticking.length === 0;
}

setInterval(() => ticking.forEach(({ tick }) => tick()), 500);

// ---- the session

// Show what the server says of the session, and load the sound that is new.
async function take(loaded) {
  if (loaded.id !== session?.id) return;
  const first = doc === null;
  doc = loaded;
  at("work").hidden = at("session-actions").hidden = false;
  at("start").hidden = true;
  if (first) {
    roll.forget();
    view.reset(doc.song.seconds, at("ruler").clientWidth);
    at("work").focus({ preventScroll: true });
  }
  showAll();
  await loadSounds();
}

async function soundOf(name, path) {
  const wanted = session;
  sounds[name] ??= session.sound(path).then((bytes) => player.decode(bytes));
  const buffer = await sounds[name];
  return wanted === session ? buffer : null;
}

async function loadSounds() {
  const current = doc.state.current;
  const [original, backing, bass] = await Promise.all([
    soundOf("original", "original"),
    soundOf("backing", "backing"),
    current === null ? null : soundOf(current, `takes/${current}/bass`),
  ]);
  if (!original || !backing || doc?.state.current !== current) return;
  if (player.buffers.original !== original) {
    player.setBuffer("original", original);
    player.setBuffer("backing", backing);
    peaks.backing = peaksOf(channelsOf(backing));
  }
  if (shownTake !== current) {
    shownTake = current;
    player.setBuffer("bass", bass);
    peaks.bass = bass && peaksOf(channelsOf(bass));
  }
  // A decoded take of three minutes fills 60 MB, so only some are kept.
  const takes = Object.keys(sounds).filter((name) => Number(name) && Number(name) !== current);
  for (const name of takes.slice(0, -KEPT)) delete sounds[name];
  mixChanged();
}

// Compute the mix of what is heard: its waveform, and how much it must be turned down.
function mixChanged() {
  const { backing, bass } = player.buffers;
  const { level } = doc.state;
  if (mixOf?.bass === bass && mixOf.backing === backing && mixOf.level === level) return;
  mixOf = { backing, bass, level };
  match = null;
  if (backing && bass) {
    const gain = 10 ** (level / 20);
    peaks.mix = peaksOf(mixed(channelsOf(backing), channelsOf(bass), gain));
    headroom = 1 / Math.max(1, peakOf(peaks.mix));
    attemptQuietly(matchLoudness);
  } else {
    peaks.mix = peaks.backing;
    headroom = 1;
  }
  setLevels();
  drawLanes();
}

function setLevels() {
  const alone = soloed.backing || soloed.bass;
  const audible = (name) => !comparing && !muted[name] && (!alone || soloed[name]);
  const mixGain = headroom * (match?.mix ?? 1);
  player.setLevels({
    backing: audible("backing") ? mixGain : 0,
    bass: audible("bass") ? mixGain * 10 ** ((doc?.state.level ?? 0) / 20) : 0,
    original: comparing ? headroom * (match?.original ?? 1) : 0,
  });
}

// Turn the louder of original and mix down, so that comparing is fair.
async function matchLoudness() {
  const wanted = mixOf;
  const { original, mix } = await session.loudness(shownTake, wanted.level);
  if (mixOf !== wanted) return;
  const difference = original === null || mix === null ? 0 : mix - original; // dB
  match = { mix: 10 ** (-Math.max(0, difference) / 20), original: 10 ** (Math.min(0, difference) / 20) };
  setLevels();
}

let sending = Promise.resolve();
let queued = 0;

// Ask the server for something that it answers with the session, one thing after the other. The
// last answer is shown. Where one is refused, `refused` is called, and what holds is shown again.
function ask(work, refused = () => {}) {
  const wanted = session;
  queued++;
  sending = sending.then(() =>
    attempt(async () => {
      let loaded;
      try {
        loaded = await work(wanted).catch((error) => {
          refused();
          alertUser(error.message);
          return wanted.load();
        });
      } finally {
        queued--;
      }
      if (queued === 0) await take(loaded);
    }),
  );
  return sending;
}

// Do something that the server stores. `changes` are fields of the state.
function act(action, changes, refused) {
  doc.state = { ...doc.state, ...changes };
  showAll();
  mixChanged();
  return ask((wanted) => wanted.act(action, changes), refused);
}

function goTo(step) {
  const name = doc?.[step];
  if (!name && queued === 0) return; // an action that is on its way can be undone too
  ask((wanted) => wanted[step]());
  say(`${step === "undo" ? "Undone" : "Done again"}: ${name ?? "the last action"}.`);
}

const visibleTakes = () => doc.takes.filter((each) => doc.state.takes.includes(each.number));
const currentTake = () => doc?.takes.find((each) => each.number === doc.state.current);
const order = (fields) => sending.then(() => attempt(() => session.makeTake({ parent: null, ranges: [], notes: null, ...fields })));

function redoMarked() {
  if (doc.state.marked.length === 0) return alertUser("No bars are marked: drag over the bars, or write their numbers and press Mark.");
  if (doc.state.current === null) return alertUser("There is no take yet: write a new line first.");
  order({ parent: doc.state.current, ranges: doc.state.marked });
}

function performDraft() {
  if (!doc.state.draft) return;
  order({ parent: doc.state.current, notes: doc.state.draft });
}

function hideTake(number) {
  const takes = doc.state.takes.filter((each) => each !== number);
  const current = doc.state.current === number ? (takes.at(-1) ?? null) : doc.state.current;
  act(`hide take ${number}`, { takes, current, ...(current === doc.state.current ? {} : { draft: null }) });
}

function chooseTake(number) {
  if (number === doc.state.current) return;
  act(`choose take ${number}`, { current: number, draft: null });
  say(`Take ${number}.`);
}

function mark(from, to, add) {
  const [start] = doc.song.bars[Math.min(from, to)];
  const [, stop] = doc.song.bars[Math.max(from, to)];
  act("mark bars", { marked: [...(add ? doc.state.marked : []), [start, stop]] });
  if (looping) player.setLoop([start, stop]);
}

// ---- showing it

function showAll() {
  const { song, state } = doc;
  at("title").textContent = doc.name;
  document.title = `${doc.name} – bassprior studio`;
  const key = song.key ? `, ${song.key}` : "";
  const bass = song.bassRemoved ? "its own bass was taken out" : "no bass was taken out";
  at("facts").textContent = `${song.tempo} beats per minute, ${song.meter}${key}, ${clock(song.seconds)}; ${bass}.`;
  for (const [id, name] of [["undo", doc.undo], ["redo", doc.redo]]) {
    at(id).disabled = !name;
    at(id).title = name ? `${id}: ${name}` : "";
    at(id).setAttribute("aria-label", name ? `${id === "undo" ? "Undo" : "Redo"}: ${name}` : id);
  }
  const shown = currentTake();
  roll.show(song, state.draft ?? shown?.notes ?? [], state.marked);
  at("draft-row").hidden = !state.draft;
  showTakes(at("takes"), visibleTakes(), state.current, song, chooseTake, hideTake);
  at("redo-bars").disabled = !shown || state.marked.length === 0;
  at("unmark").disabled = state.marked.length === 0;
  at("draw").disabled = !shown;
  at("delete-note").disabled = roll.chosen < 0;
  const last = song.firstBar + song.bars.length - 1;
  for (const id of ["from-bar", "to-bar"]) [at(id).min, at(id).max] = [song.firstBar, last];
  if (state.marked.length) {
    const [first, final] = barsWithin(song, state.marked[0][0], state.marked.at(-1)[1]);
    [at("from-bar").value, at("to-bar").value] = [first, final];
  }
  for (const id of ["tone", "sound", "boldness", "lowest", "highest"]) at(id).value = state.options[id];
  const chords = at("chord-line"); // what was refused stays, so that it can be mended
  if (document.activeElement !== chords && chords.ariaInvalid !== "true") chords.value = state.options.chords;
  at("chord-line").placeholder = song.chordLine;
  at("level").value = state.level;
  showValues();
  at("files").replaceChildren(...(shown ? FILES : []).map(([kind, name]) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = session.download(shown.number, kind, state.level);
    link.download = "";
    link.textContent = name;
    item.append(link);
    return item;
  }));
  drawLanes();
}

function showValues() {
  const bold = Number(at("boldness").value);
  at("boldness-value").textContent = `${bold.toFixed(2)} ${bold < 0.75 ? "(careful)" : bold > 1.25 ? "(bold)" : ""}`;
  const level = Number(at("level").value);
  at("level-value").textContent = `${level > 0 ? "+" : ""}${level.toFixed(1)} dB`;
}

function drawLanes() {
  if (!doc) return;
  drawRuler(at("ruler"), view, doc.song, doc.state.marked);
  drawChords(at("chords"), view, currentTake()?.chords ?? doc.song.chords);
  drawWave(at("wave-backing"), view, peaks.backing, "backing");
  drawWave(at("wave-bass"), view, peaks.bass, "bass", 10 ** (doc.state.level / 20));
  drawWave(at("wave-mix"), view, peaks.mix, "mix", headroom);
  roll.draw();
  at("scroll").hidden = view.length >= view.duration - 1e-6;
  at("scroll").max = view.duration - view.length;
  at("scroll").value = view.start;
  placeHead();
}

// The line at the position lies over all lanes, so that playing draws nothing anew.
const head = document.createElement("div");
Object.assign(head.style, { position: "absolute", top: 0, bottom: 0, width: "2px", pointerEvents: "none" });
at("lanes").style.position = "relative";
at("lanes").append(head);

function placeHead() {
  if (!doc) return;
  const time = player.position;
  const canvas = at("ruler");
  const x = view.x(time, canvas.clientWidth);
  head.hidden = x < 0 || x > canvas.clientWidth;
  head.style.left = `${canvas.offsetLeft + x}px`;
  head.style.background = "var(--head)";
  const bar = Math.max(0, doc.song.bars.findLastIndex(([start]) => start <= time + 1e-6));
  const number = doc.song.firstBar + bar;
  at("position").textContent = `${clock(time)} · bar ${number}`;
  if (canvas.getAttribute("aria-valuenow") === String(number) && player.playing) return;
  canvas.setAttribute("aria-valuemax", doc.song.firstBar + doc.song.bars.length - 1);
  canvas.setAttribute("aria-valuenow", number);
  canvas.setAttribute("aria-valuetext", `bar ${number}, ${clock(time)}`);
}

function frame() {
  if (player.playing) {
    view.follow(player.position);
    placeHead();
  }
  requestAnimationFrame(frame);
}

// ---- controls

function press(id, pressed) { at(id).setAttribute("aria-pressed", pressed); }

const togglePlay = () => {
  if (!doc) return;
  if (player.playing) player.pause();
  else attempt(() => player.play());
};

function toggleLoop() {
  looping = !looping;
  press("loop", looping);
  const { marked } = doc.state;
  player.setLoop(!looping ? null : marked.length ? [marked[0][0], marked.at(-1)[1]] : [0, player.duration]);
}

function toggleCompare() {
  comparing = !comparing;
  press("compare", comparing);
  say(comparing ? "You hear the original." : "You hear the new mix.");
  setLevels();
}

function toggle(kind, name) {
  const states = kind === "mute" ? muted : soloed;
  states[name] = !states[name];
  document.querySelector(`[data-${kind}=${name}]`).setAttribute("aria-pressed", states[name]);
  setLevels();
}

function seekBars(step) {
  const starts = doc.song.bars.map(([start]) => start);
  const index = starts.findLastIndex((start) => start <= player.position + 0.05);
  player.seek(starts[Math.min(Math.max(index + step, 0), starts.length - 1)]);
}

function fill(select, values, names = (value) => value) {
  select.replaceChildren(...values.map((value) => new Option(names(value), value)));
}

function prepareControls() {
  fill(at("tone"), setup.tones, (tone) => (tone === "unknown" ? "left to chance" : tone));
  fill(at("sound"), setup.sounds, (sound) => SOUND_NAMES[sound] ?? sound);
  const [low, high] = setup.pitches;
  const pitches = Array.from({ length: high - low + 1 }, (_, index) => low + index);
  for (const id of ["lowest", "highest"]) fill(at(id), pitches, pitchName);
  [at("boldness").min, at("boldness").max] = setup.boldness;
  [at("level").min, at("level").max] = setup.levels;

  at("file").onchange = (event) => send(event.target.files[0]);
  at("file").disabled = false; // A file that is chosen earlier would be lost.
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && !at("start").hidden) send(event.dataTransfer.files[0]);
    });
  }
  const clicks = {
    play: togglePlay, rewind: () => player.seek(0), loop: toggleLoop, compare: toggleCompare,
    "zoom-in": () => view.zoom(0.6, player.position), "zoom-out": () => view.zoom(1 / 0.6, player.position),
    undo: () => goTo("undo"), redo: () => goTo("redo"), leave: () => attempt(showStart),
    help: () => at("keys").showModal(), "new-line": () => order({}), "redo-bars": redoMarked,
    perform: performDraft, discard: () => act("discard the edits", { draft: null }),
    unmark: () => act("clear the marks", { marked: [] }), draw: toggleDraw,
    "delete-note": () => roll.remove(), mark: markNumbers, remove: removeSong,
    "use-heard": useHeardChords,
  };
  for (const [id, work] of Object.entries(clicks)) at(id).onclick = work;
  for (const kind of ["mute", "solo"]) {
    for (const button of document.querySelectorAll(`[data-${kind}]`)) {
      button.onclick = () => toggle(kind, button.dataset[kind]);
    }
  }
  at("options").onsubmit = (event) => event.preventDefault();
  at("options").onchange = optionsChanged;
  at("options").oninput = at("level").oninput = showValues;
  at("level").onchange = () => {
    const level = Number(at("level").value);
    if (level !== doc.state.level) act("change the level", { level });
  };
  at("snap").onchange = () => { roll.snap = at("snap").checked; };
  at("scroll").oninput = () => view.show(Number(at("scroll").value), view.length);
  roll.addEventListener("edit", (event) => act(event.detail.action, { draft: event.detail.notes }));
  roll.addEventListener("choose", () => {
    at("delete-note").disabled = roll.chosen < 0;
    say(roll.spoken);
  });
  roll.addEventListener("insert", () => currentTake() && roll.insert(player.position, roll.notes[roll.chosen]?.[2] ?? 40));
  view.addEventListener("change", drawLanes);
  player.addEventListener("change", () => {
    at("play").textContent = player.playing ? "Pause" : "Play";
    view.follow(player.position);
    placeHead();
  });
  new ResizeObserver(() => doc && showAll()).observe(at("lanes"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => doc && showAll());
  prepareRuler();
  for (const canvas of at("lanes").querySelectorAll("canvas")) {
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const time = view.time(event.clientX - box.left, box.width);
      if (event.ctrlKey) view.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, time);
      else view.show(view.start + (event.deltaY / 500) * view.length, view.length);
    }, { passive: false });
  }
  for (const id of ["chords", "wave-backing", "wave-bass", "wave-mix"]) {
    at(id).onclick = (event) => {
      const box = at(id).getBoundingClientRect();
      player.seek(view.time(event.clientX - box.left, box.width));
    };
  }
  document.addEventListener("keydown", key);
  requestAnimationFrame(frame);
}

// A press on the bars seeks; a drag marks them, with Shift in addition to others.
function prepareRuler() {
  const ruler = at("ruler");
  const barAt = (event) => {
    const box = ruler.getBoundingClientRect();
    const time = view.time(event.clientX - box.left, box.width);
    return Math.max(0, doc.song.bars.findLastIndex(([start]) => start <= time));
  };
  ruler.onpointerdown = (event) => {
    if (!doc || event.button !== 0) return;
    ruler.setPointerCapture(event.pointerId);
    const [from, x] = [barAt(event), event.clientX];
    let to = from, dragged = false;
    ruler.onpointermove = (moved) => {
      dragged ||= Math.abs(moved.clientX - x) > 4;
      to = barAt(moved);
      const [low, high] = [Math.min(from, to), Math.max(from, to)];
      if (dragged) drawRuler(ruler, view, doc.song, [[doc.song.bars[low][0], doc.song.bars[high][1]]]);
    };
    ruler.onpointerup = ruler.onpointercancel = (released) => {
      ruler.onpointermove = ruler.onpointerup = ruler.onpointercancel = null;
      const box = ruler.getBoundingClientRect();
      if (dragged) mark(from, to, event.shiftKey);
      else player.seek(view.time(released.clientX - box.left, box.width));
    };
  };
}

function markNumbers() {
  const { firstBar, bars } = doc.song;
  const [from, to] = ["from-bar", "to-bar"].map((id) => Number(at(id).value || at("from-bar").value) - firstBar);
  const fits = (bar) => Number.isInteger(bar) && bar >= 0 && bar < bars.length;
  if (!at("from-bar").value || !fits(from) || !fits(to)) {
    return alertUser(`Bars go from ${firstBar} to ${firstBar + bars.length - 1}: write two of them.`);
  }
  mark(from, to, false);
}

function optionsChanged() {
  const options = {
    ...Object.fromEntries(["tone", "sound"].map((id) => [id, at(id).value])),
    ...Object.fromEntries(["boldness", "lowest", "highest"].map((id) => [id, Number(at(id).value)])),
    chords: at("chord-line").value.trim(),
  };
  const chords = at("chord-line");
  chords.ariaInvalid = "false";
  act("change the options", { options }, () => {
    if (options.chords !== "") chords.ariaInvalid = "true";
  });
}

function useHeardChords() {
  at("chord-line").ariaInvalid = "false";
  act("edit the chords", { options: { ...doc.state.options, chords: doc.song.chordLine } });
}

function toggleDraw() {
  roll.drawing = !roll.drawing;
  press("draw", roll.drawing);
}

async function removeSong() {
  if (!confirm(`Remove ${doc.name} and all of its takes? This cannot be undone.`)) return;
  await attempt(async () => {
    await session.remove();
    await showStart();
  });
}

function key(event) {
  if (!doc || at("keys").open) return;
  const writing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !writing) {
    event.preventDefault();
    return goTo(event.shiftKey ? "redo" : "undo");
  }
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  const pressable = event.target.matches("button, a, input");
  const slidable = event.target.matches("input");
  const keys = {
    " ": pressable ? null : togglePlay, Home: slidable ? null : () => player.seek(0), l: toggleLoop, b: toggleCompare,
    m: () => toggle("mute", "bass"), s: () => toggle("solo", "bass"), n: () => order({}),
    r: redoMarked, p: performDraft, d: toggleDraw, Delete: () => roll.remove(),
    "+": () => view.zoom(0.6, player.position), "-": () => view.zoom(1 / 0.6, player.position),
    "?": () => at("keys").showModal(),
    ArrowLeft: slidable ? null : () => seekBars(-1), ArrowRight: slidable ? null : () => seekBars(1),
  };
  const number = Number(event.key);
  const shown = number >= 1 && number <= 9 ? visibleTakes()[number - 1] : null;
  const work = shown ? () => chooseTake(shown.number) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!work) return;
  event.preventDefault();
  work();
}

const attemptQuietly = (work) => work().catch((error) => alertUser(error.message));

window.studio = { player, get doc() { return doc; }, get match() { return match; } }; // for tests
attemptQuietly(begin);
