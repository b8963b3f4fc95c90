// What the page asks of the server. Every failure is an Error whose message is a sentence.

export const GONE = "The program does not answer. Start it again: all songs and takes are still there.";

async function ask(method, path, body) {
  const options = { method };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(GONE);
  }
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Error(said.error ?? `The server answered with the error ${response.status}.`);
  }
  return response;
}

const json = async (...request) => (await ask(...request)).json();

export const welcome = () => json("POST", "/api/me");
export const cancel = (job) => json("DELETE", `/api/jobs/${job}`);

// Send a file, with what is to happen to its bass, and call `told` with the share that was sent.
export function upload(file, bass, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/sessions?name=${encodeURIComponent(file.name)}&bass=${bass}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded / event.total);
    request.onerror = () => reject(new Error("The file could not be sent: is it too large, or has the program ended?"));
    request.onload = () =>
      request.status === 200
        ? resolve(request.response)
        : reject(new Error(request.response?.error ?? "The file was refused."));
    request.send(file);
  });
}

// Call `told` with all jobs of this user, now and whenever they change, and `reached` with whether
// the server answers. The browser asks again and again by itself while it does not.
export function watchJobs(told, reached) {
  const source = new EventSource("/api/jobs");
  source.onmessage = (event) => told(JSON.parse(event.data));
  source.onopen = () => reached(true);
  source.onerror = () => reached(false);
}

// What can be asked of one session.
export class Session {
  constructor(id) {
    this.id = id;
    this.path = `/api/sessions/${id}`;
  }
  load() { return json("GET", this.path); }
  remove() { return json("DELETE", this.path); }
  act(action, changes) { return json("PUT", `${this.path}/state`, { action, changes }); }
  undo() { return json("POST", `${this.path}/undo`); }
  redo() { return json("POST", `${this.path}/redo`); }
  makeTake(order) { return json("POST", `${this.path}/takes`, order); }
  loudness(take, level) { return json("GET", `${this.path}/takes/${take}/loudness?level=${level}`); }
  download(take, kind, level) { return `${this.path}/takes/${take}/download/${kind}?level=${level}`; }
  async sound(name) { return (await ask("GET", `${this.path}/${name}`)).arrayBuffer(); }
}
